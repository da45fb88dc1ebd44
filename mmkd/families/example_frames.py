"""Synthetic frames for the networks of mmdet3d: points, images, boxes."""
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from mmkd.errors import ConfigError

#: ``(x1, y1, z1, x2, y2, z2)`` in metres, for networks that do not limit the
#: range of their points: in the LiDAR frame on a road, and in a room.
_ROAD = (0., -40., -3., 70., 40., 1.)
_ROOM = (-2., -2., -1., 2., 2., 1.)
_NUM_POINTS = 4000
#: Classes of networks for rooms, with boxes in the frame of a depth camera.
_INDOOR = ('VoteNet', 'H3DNet', 'GroupFree3DNet', 'ImVoteNet', 'ImVoxelNet')


def example_frame(network: Any, size: Tuple[int, int]) -> Dict[str, Any]:
    """A batch of one synthetic frame with one box, as the preprocessor of
    the network returns it.

    Args:
        network (nn.Module): A network of mmdet3d with points, cameras or
            both, such as ``VoxelNet``, ``VoteNet``, ``EncoderDecoder3D`` or
            ``FCOSMono3D``; or mmkd's ``BEVDetector``.
        size (tuple[int, int]): Height and width in pixels of the image of a
            single front camera.

    Returns:
        dict: ``inputs`` with those of ``points``, ``voxels`` and ``imgs``
        that the network needs; ``data_samples`` with ground truth.

    Raises:
        ConfigError: If the network needs other data.
    """
    if _is_monocular(network):
        inputs, sample = _image_frame(network, size)
    else:
        inputs, sample = _frame(network, size)
    return network.data_preprocessor(
        dict(inputs=inputs, data_samples=[sample]), True)


def _is_monocular(network: nn.Module) -> bool:
    from mmdet3d.models.dense_heads.base_mono3d_dense_head import \
        BaseMono3DDenseHead
    return isinstance(getattr(network, 'bbox_head', None), BaseMono3DDenseHead)


def _is_indoor(network: nn.Module) -> bool:
    names = [cls.__name__ for cls in type(network).__mro__]
    return 'SSD3DNet' not in names and any(x in names for x in _INDOOR)


def _frame(network: Any, size: Tuple[int, int]) -> Tuple[dict, Any]:
    """Inputs and ground truth of a scan, a frame of cameras, or both."""
    from mmdet3d.structures import (Box3DMode, DepthInstance3DBoxes,
                                    Det3DDataSample, LiDARInstance3DBoxes,
                                    PointData)
    from mmengine.structures import InstanceData
    channels = point_channels(network)
    grid = bev_grid(network)
    indoor = _is_indoor(network)
    images = grid is not None or type(network).__name__ == 'ImVoxelNet'
    images = images or getattr(network, 'img_backbone', None) is not None
    if not (images or channels):
        raise ConfigError(
            f'there is no synthetic input for {type(network).__name__} of '
            'mmdet3d; pass a batch of its data loader as `dry_run_batch`')
    points, low, high = _points(network, channels or 3, indoor)
    inputs: Dict[str, list] = {}
    meta: Dict[str, Any] = {}
    if channels:
        inputs['points'] = [points]
    if images:
        cameras = (1, ) if grid is not None else ()
        inputs['img'] = [torch.zeros((*cameras, 3, *size), dtype=torch.uint8)]
        meta = _front_camera(size, bool(cameras), indoor)
    boxes = DepthInstance3DBoxes if indoor else LiDARInstance3DBoxes
    box = torch.zeros((1, _box_size(network)))
    box[0, :3] = (low + high) / 2
    box[0, 3:6] = torch.tensor([1., 1., 1.] if indoor else [4., 2., 1.5])
    sample = Det3DDataSample(
        metainfo=dict(
            box_type_3d=boxes,
            box_mode_3d=Box3DMode.DEPTH if indoor else Box3DMode.LIDAR,
            sample_idx=0,
            **meta),
        gt_instances_3d=InstanceData(
            bboxes_3d=boxes(box, box_dim=box.size(1)),
            labels_3d=torch.zeros(1, dtype=torch.long)),
        gt_pts_seg=PointData(
            pts_semantic_mask=torch.zeros(len(points), dtype=torch.long),
            pts_instance_mask=torch.zeros(len(points), dtype=torch.long)))
    return inputs, sample


def _points(network: nn.Module, channels: int,
            indoor: bool) -> Tuple[Tensor, Tensor, Tensor]:
    """Random points (P, C), and the corners of their range."""
    limits = _ROOM if indoor or hasattr(network, 'decode_head') else _ROAD
    bounds = torch.tensor(
        getattr(
            voxel_layer(network), 'point_cloud_range',
            getattr(bev_grid(network), 'point_cloud_range', limits)))
    low, high = bounds.float().view(2, 3)
    generator = torch.Generator().manual_seed(0)
    points = torch.rand((_NUM_POINTS, channels), generator=generator)
    points[:, :3] = low + points[:, :3] * (high - low)
    return points, low, high


def _image_frame(network: Any, size: Tuple[int, int]) -> Tuple[dict, Any]:
    """Inputs and ground truth of a single camera, in its own frame."""
    from mmdet3d.structures import (Box3DMode, CameraInstance3DBoxes,
                                    Det3DDataSample)
    from mmengine.structures import InstanceData
    height, width = size
    box = torch.zeros((1, _box_size(network)))
    box[0, :6] = torch.tensor([0., 1., 10., 4., 1.5, 2.])
    labels = torch.zeros(1, dtype=torch.long)
    sample = Det3DDataSample(
        metainfo=dict(
            box_type_3d=CameraInstance3DBoxes,
            box_mode_3d=Box3DMode.CAM,
            sample_idx=0,
            cam2img=_intrinsics(size).tolist(),
            # SMOKE's, from the image to its map.
            trans_mat=np.diag([.25, .25, 1.]).astype(np.float32),
            affine_aug=False,
            img_shape=size,
            scale_factor=(1., 1.),
            flip=False),
        gt_instances=InstanceData(
            bboxes=torch.tensor(
                [[.25 * width, .25 * height, .75 * width, .75 * height]]),
            labels=labels),
        gt_instances_3d=InstanceData(
            bboxes_3d=CameraInstance3DBoxes(box, box_dim=box.size(1)),
            labels_3d=labels,
            centers_2d=torch.tensor([[.5 * width, .5 * height]]),
            depths=torch.tensor([10.]),
            attr_labels=labels))
    return dict(img=[torch.zeros((3, *size), dtype=torch.uint8)]), sample


def _intrinsics(size: Tuple[int, int]) -> np.ndarray:
    """Matrix (4, 4) of a 90-degree camera."""
    height, width = size
    cam2img = np.diag([width / 2, width / 2, 1., 1.])
    cam2img[:2, 2] = (width - 1) / 2, (height - 1) / 2
    return cam2img


def _front_camera(size: Tuple[int, int], several: bool,
                  indoor: bool) -> Dict[str, Any]:
    """Matrices of a camera at the origin of the points.

    Args:
        size (tuple[int, int]): Height and width in pixels.
        several (bool): Whether the network takes several cameras, with
            matrices (N, 4, 4).
        indoor (bool): Whether points have y, instead of x, to the front.
    """
    cam2img = _intrinsics(size)
    front = [[1., 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]] \
        if indoor else [[0., -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0],
                        [0, 0, 0, 1]]
    lidar2cam = np.array(front)
    if several:
        return dict(cam2img=cam2img[None], lidar2cam=lidar2cam[None])
    whole = cam2img @ lidar2cam
    return dict(
        cam2img=cam2img,
        lidar2cam=lidar2cam,
        lidar2img=whole,
        depth2img=whole,
        img_shape=size,
        ori_shape=size,
        scale_factor=(1., 1.),
        flip=False)


def voxel_layer(network: nn.Module) -> Any:
    """Voxelisation in the preprocessor of a network; None without one."""
    return getattr(
        getattr(network, 'data_preprocessor', None), 'voxel_layer', None)


def bev_grid(network: nn.Module) -> Any:
    """The grid in bird's-eye view that images are lifted to, if any."""
    return getattr(getattr(network, 'view_transform', None), 'grid', None)


def point_channels(network: nn.Module) -> Optional[int]:
    """Columns of a network's points; None if it has no point input."""
    for prefix in ('', 'pts_'):
        encoder = getattr(network, f'{prefix}voxel_encoder', None)
        if encoder is None:
            continue
        if hasattr(encoder, 'num_features'):  # it averages the points
            return encoder.num_features
        if hasattr(encoder, 'in_channels'):
            # Includes the features that the encoder adds to each point, and
            # the preprocessor if its voxels are cylindrical.
            polar = getattr(network.data_preprocessor, 'voxel_type', '')
            return encoder.in_channels - 2 * (polar == 'cylindrical') - sum(
                size * bool(getattr(encoder, name, False))
                for name, size in (('_with_cluster_center', 3),
                                   ('_with_voxel_center', 3),
                                   ('_with_distance', 1)))
        middle = getattr(network, f'{prefix}middle_encoder', None)
        return getattr(middle, 'in_channels', None)
    if getattr(network, 'depth_source', None) == 'points':
        return 3  # cameras with depth from points
    return next((width for width in map(_point_backbone_channels, (
        getattr(network, 'backbone', None),
        getattr(network, 'pts_backbone', None))) if width), None)


def _point_backbone_channels(backbone: Any) -> Optional[int]:
    """Columns of the points of a backbone; None if it takes none."""
    backbone = next(iter(getattr(backbone, 'backbone_list', ())), backbone)
    for name, times in (('SA_modules', 1), ('GF_modules', 2)):
        modules = getattr(backbone, name, None)
        if modules is None:
            continue
        # PointNet++ has its own coordinates among the input of its first
        # layer, and DGCNN each point's difference from its neighbour.
        first = next(
            (m for m in modules[0].modules()
             if isinstance(m, nn.Conv2d) or hasattr(m, 'num_kernels')), None)
        if getattr(first, 'kernel_input', '') == 'w_neighbor':
            times = 2  # PAConv with the neighbours' own features
        return getattr(first, 'in_channels', 4) // times
    return None


def _box_size(network: nn.Module) -> int:
    """Size of the boxes that the heads are trained with: 9 with velocity."""
    heads: List[Optional[nn.Module]] = [
        getattr(network, name, None) for name in ('bbox_head', 'pts_bbox_head')
    ]
    nine = any(
        getattr(getattr(head, 'bbox_coder', None), 'code_size', 7) == 9
        or getattr(head, 'bbox_code_size', 7) == 9 for head in heads)
    return 9 if nine else 7
