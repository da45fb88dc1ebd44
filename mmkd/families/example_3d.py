"""A made-up batch for a detector of mmdet3d."""
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from torch import nn

from mmkd.errors import ConfigError

#: Metres ``(x1, y1, z1, x2, y2, z2)`` in the frame of the LiDAR, for a
#: network that does not bound its points.
_RANGE = (0., -40., -3., 70., 40., 1.)
_NUM_POINTS = 4000


def example_batch_3d(
    network: nn.Module, size: Tuple[int, int] = (128, 128)) -> Dict[str, Any]:
    """A batch of one made-up frame with one box, as the preprocessor of the
    network gives it.

    Args:
        network (nn.Module): A LiDAR detector of mmdet3d, such as
            ``VoxelNet``, ``CenterPoint``, ``MVXFasterRCNN`` or
            ``PointRCNN``; or mmkd's ``BEVDetector``, with cameras too.
        size (tuple[int, int]): Height and width in pixels of the image of
            its one camera, which looks ahead. Defaults to (128, 128).

    Returns:
        dict: ``inputs`` with ``points``, ``voxels`` and ``imgs``, as far as
        the network wants them; ``data_samples`` with ground truth.

    Raises:
        ConfigError: If the network takes other data.
    """
    channels = _point_channels(network)
    grid = getattr(getattr(network, 'view_transform', None), 'grid', None)
    cameras = getattr(network, 'img_backbone', None) is not None
    if cameras != (grid is not None) or not (cameras or channels):
        raise ConfigError(
            f'no input can be made up for {type(network).__name__} of '
            'mmdet3d; give a batch of its data loader as `dry_run_batch`')
    from mmdet3d.structures import (Box3DMode, Det3DDataSample,
                                    LiDARInstance3DBoxes)
    from mmengine.structures import InstanceData
    voxel_layer = getattr(network.data_preprocessor, 'voxel_layer', None)
    bounds = torch.tensor(
        getattr(voxel_layer, 'point_cloud_range',
                getattr(grid, 'point_cloud_range', _RANGE)))
    low, high = bounds.float().view(2, 3)
    inputs, matrices = {}, {}
    if channels:
        generator = torch.Generator().manual_seed(0)
        points = torch.rand((_NUM_POINTS, channels), generator=generator)
        points[:, :3] = low + points[:, :3] * (high - low)
        inputs['points'] = [points]
    if cameras:
        inputs['img'] = [torch.zeros((1, 3, *size), dtype=torch.uint8)]
        matrices = _front_camera(size)
    box = torch.zeros((1, _box_size(network)))
    box[0, :3] = (low + high) / 2
    box[0, 3:6] = torch.tensor([4., 2., 1.5])
    sample = Det3DDataSample(
        metainfo=dict(
            box_type_3d=LiDARInstance3DBoxes,
            box_mode_3d=Box3DMode.LIDAR,
            sample_idx=0,
            **matrices),
        gt_instances_3d=InstanceData(
            bboxes_3d=LiDARInstance3DBoxes(box, box_dim=box.size(1)),
            labels_3d=torch.zeros(1, dtype=torch.long)))
    return network.data_preprocessor(
        dict(inputs=inputs, data_samples=[sample]), True)


def _front_camera(size: Tuple[int, int]) -> Dict[str, np.ndarray]:
    """Matrices of a camera of 90 degrees in the place of the LiDAR."""
    height, width = size
    cam2img = np.diag([width / 2, width / 2, 1., 1.])
    cam2img[:2, 2] = (width - 1) / 2, (height - 1) / 2
    lidar2cam = np.array([[0., -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0],
                          [0, 0, 0, 1]])
    return dict(cam2img=cam2img[None], lidar2cam=lidar2cam[None])


def _point_channels(network: nn.Module) -> Optional[int]:
    """Numbers a point that a network takes; None if it takes no points."""
    for prefix in ('', 'pts_'):
        encoder = getattr(network, f'{prefix}voxel_encoder', None)
        if encoder is None:
            continue
        if hasattr(encoder, 'num_features'):  # it averages the points
            return encoder.num_features
        if hasattr(encoder, 'in_channels'):
            # With what the encoder adds to each point.
            return encoder.in_channels - sum(
                size * bool(getattr(encoder, name, False))
                for name, size in (('_with_cluster_center', 3),
                                   ('_with_voxel_center', 3),
                                   ('_with_distance', 1)))
        middle = getattr(network, f'{prefix}middle_encoder', None)
        return getattr(middle, 'in_channels', None)
    if getattr(network, 'depth_source', None) == 'points':
        return 3  # cameras that are told the depth
    backbone = getattr(network, 'backbone', None)
    if hasattr(backbone, 'SA_modules'):  # PointNet++
        return getattr(backbone, 'in_channels', 4)
    return None


def _box_size(network: nn.Module) -> int:
    """Numbers a box that the heads are trained on: 9 with velocity."""
    heads: List[Optional[nn.Module]] = [
        getattr(network, name, None) for name in ('bbox_head', 'pts_bbox_head')
    ]
    coders = [getattr(head, 'bbox_coder', None) for head in heads]
    return 9 if any(getattr(c, 'code_size', 7) == 9 for c in coders) else 7
