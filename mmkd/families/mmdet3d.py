"""Detectors of mmdet3d, and mmkd's own that derive from them."""
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from torch import nn

from mmkd.errors import ConfigError
from mmkd.families.base import Batch, Family
from mmkd.families.detection_heads import DetectionHead, head_kind
from mmkd.families.preprocessing import ImageNorm
from mmkd.families.taps import KnownTap, Place

#: ``(x1, y1, z1, x2, y2, z2)`` in metres in the LiDAR frame, for networks that
#: do not limit the range of their points.
_RANGE = (0., -40., -3., 70., 40., 1.)
_NUM_POINTS = 4000


class MMDet3DFamily(Family):
    """Detectors of mmdet3d for LiDAR or several sensors."""
    name = 'mmdet3d'
    visualizer = 'Det3DLocalVisualizer'
    prefixes = ('', 'pts_', 'img_')

    def __init__(self) -> None:
        super().__init__()
        self.places = {
            'nodes':
            Place(
                'learned features of voxels, or else of cells or points, of '
                'a LiDAR detector', _nodes, False),
            'head_maps':
            Place(
                'outputs of the last convolutions of a CenterHead or an '
                'Anchor3DHead', _head_maps, False),
            'bev_low':
            Place("the map that the encoder of a bird's-eye view begins with",
                  _bev_low, False),
            'bev_high':
            Place("the map that the head of a bird's-eye view gets", _bev_high,
                  False),
            'responses':
            Place('branches of each task of a CenterHead', _responses, False),
            **self.places
        }

    def example_batch(self, network: nn.Module, size: Tuple[int,
                                                            int]) -> Batch:
        """See :func:`_example_batch`."""
        return _example_batch(network, size)

    def head_classes(self, network: nn.Module) -> Dict[str, int]:
        """See :func:`~mmkd.families.classes.head_classes`.

        A second stage of one class refines boxes of all classes. A class that
        a segmentation head ignores is not counted.
        """
        found = {}
        for path, count in super().head_classes(network).items():
            head = network.get_submodule(path)
            ignored = getattr(head, 'ignore_index', None)
            hidden = ignored is not None and 0 <= ignored < count
            if count > 1 or not path.startswith('roi_head.'):
                found[path] = count - hidden
        return found

    def preprocessing(self, network: nn.Module) -> Dict[str, Any]:
        """Two that differ only in how many voxels they keep are equal.

        A preprocessor keeps another number in training than in evaluation,
        so that a student and a teacher in eval mode would get other voxels
        of the same scan, whose rows do not belong together. So the teacher
        takes the student's.
        """
        settings = super().preprocessing(network)
        layer = _voxel_layer(network)
        cap = getattr(layer, 'max_voxels', None)
        if cap is not None:
            settings['voxel_layer'] = repr(layer).replace(
                f', max_voxels={cap}', '')
        return settings

    def traits(self, network: nn.Module) -> Dict[str, Any]:
        """See the base class."""
        cameras = getattr(network, 'img_backbone', None) is not None
        scans = any(
            getattr(network, f'{prefix}voxel_encoder', None) is not None
            for prefix in ('', 'pts_'))
        traits: Dict[str, Any] = dict(sensors='fusion' if cameras and scans
                                      else 'camera' if cameras else 'lidar')
        layer = _voxel_layer(network) or _grid(network)
        for name in ('point_cloud_range', 'voxel_size'):
            value = getattr(layer, name, None)
            if value is not None:
                traits[name] = [float(number) for number in value]
        kind = head_kind(_head(network)[1])
        if kind is not None:
            traits['head'] = kind.name
        return traits

    def image_norm(self, network: nn.Module) -> Optional[ImageNorm]:
        """None for the preprocessors of mmdet3d, which take several inputs in
        a dict."""
        several = hasattr(self.preprocessor(network), 'voxel')
        return None if several else super().image_norm(network)

    def detection_head(self,
                       network: nn.Module,
                       name: str = 'the network') -> DetectionHead:
        """Of a detector with a CenterHead or an Anchor3DHead on a map."""
        _, head = _head(network)
        kind = head_kind(head)
        # Of cameras: the grid that they are lifted to.
        layer = _voxel_layer(network) or _grid(network)
        if head is None or kind is None or layer is None:
            raise ConfigError(
                f'{name} ({type(network).__name__}) has no head that this '
                'method knows: it serves detectors with voxels or cameras '
                'on a map, and a CenterHead or an Anchor3DHead')
        return kind(head, layer.point_cloud_range)


def _voxel_layer(network: nn.Module) -> Any:
    return getattr(
        getattr(network, 'data_preprocessor', None), 'voxel_layer', None)


def _grid(network: nn.Module) -> Any:
    """The grid in bird's-eye view that the images are lifted to, if any."""
    return getattr(getattr(network, 'view_transform', None), 'grid', None)


def _head(network: nn.Module) -> Tuple[str, Optional[nn.Module]]:
    """Name and module of the dense head, if there is one."""
    for name in ('pts_bbox_head', 'bbox_head', 'rpn_head'):
        head = getattr(network, name, None)
        if isinstance(head, nn.Module):
            return name, head
    return '', None


def _head_maps(network: nn.Module) -> List[KnownTap]:
    name, head = _head(network)
    kind = head_kind(head)
    return [] if head is None or kind is None else kind.taps(head, name)


def _nodes(network: nn.Module) -> List[str]:
    """Taps of the nodes of a scan's graph."""
    for prefix in ('', 'pts_'):
        encoder = getattr(network, f'{prefix}voxel_encoder', None)
        if not isinstance(encoder, nn.Module):
            continue
        if hasattr(getattr(network, f'{prefix}neck', None), 'fpn_convs'):
            return [f'{prefix}neck[0]']
        if next(encoder.parameters(), None) is not None:
            return [f'{prefix}voxel_encoder']
        # An encoder that averages points has no learned features.
        return [f'{prefix}backbone[0:2]']
    if hasattr(getattr(network, 'neck', None), 'FP_modules'):
        return ['neck[fp_features]']  # PointNet++, features of the points
    return []


def _bev_low(network: nn.Module) -> List[str]:
    """The input map of the bird's-eye-view encoder."""
    if isinstance(getattr(network, 'bev_backbone', None), nn.Module):
        return ['bev_backbone@input']
    for prefix in ('pts_', ''):
        middle = getattr(network, f'{prefix}middle_encoder', None)
        if isinstance(middle, nn.Module):
            # The canvas of pillars is mostly empty: the output of its first
            # stage corresponds to the map of a voxel encoder.
            pillars = type(middle).__name__ == 'PointPillarsScatter'
            return [
                f'{prefix}backbone[0]'
                if pillars else f'{prefix}middle_encoder'
            ]
    return []


def _bev_high(network: nn.Module) -> List[str]:
    """The input map of the bird's-eye-view head."""
    for name in ('bev_neck', 'pts_neck'):
        if isinstance(getattr(network, name, None), nn.Module):
            return [f'{name}[0]']
    return []


def _responses(network: nn.Module) -> List[KnownTap]:
    """The branches of each task of a CenterHead, class scores first.

    The others are sorted by name, since their order in configs varies, also
    between an exported config and its source.
    """
    for name in ('bbox_head', 'pts_bbox_head'):
        tasks = getattr(getattr(network, name, None), 'task_heads', None)
        if isinstance(tasks, nn.ModuleList):
            return [
                KnownTap(f'{name}[{i}][0][{branch}]', task=i, branch=branch)
                for i, task in enumerate(tasks) for branch in (
                    'heatmap',
                    *sorted(set(getattr(task, 'heads', {})) - {'heatmap'}))
            ]
    return []


def _example_batch(network: Any, size: Tuple[int, int]) -> Batch:
    """A batch of one synthetic frame with one box, as the preprocessor of
    the network returns it.

    Args:
        network (nn.Module): A LiDAR detector of mmdet3d, such as
            ``VoxelNet``, ``CenterPoint``, ``MVXFasterRCNN`` or
            ``PointRCNN``; or mmkd's ``BEVDetector``, also with cameras.
        size (tuple[int, int]): Height and width in pixels of the image of a
            single front camera.

    Returns:
        dict: ``inputs`` with those of ``points``, ``voxels`` and ``imgs``
        that the network needs; ``data_samples`` with ground truth.

    Raises:
        ConfigError: If the network needs other data.
    """
    channels = _point_channels(network)
    grid = _grid(network)
    cameras = getattr(network, 'img_backbone', None) is not None
    if cameras != (grid is not None) or not (cameras or channels):
        raise ConfigError(
            f'there is no synthetic input for {type(network).__name__} of '
            'mmdet3d; pass a batch of its data loader as `dry_run_batch`')
    from mmdet3d.structures import (Box3DMode, Det3DDataSample,
                                    LiDARInstance3DBoxes)
    from mmengine.structures import InstanceData
    voxel_layer = _voxel_layer(network)
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
    """Matrices of a 90-degree camera at the position of the LiDAR."""
    height, width = size
    cam2img = np.diag([width / 2, width / 2, 1., 1.])
    cam2img[:2, 2] = (width - 1) / 2, (height - 1) / 2
    lidar2cam = np.array([[0., -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0],
                          [0, 0, 0, 1]])
    return dict(cam2img=cam2img[None], lidar2cam=lidar2cam[None])


def _point_channels(network: nn.Module) -> Optional[int]:
    """Columns of a network's points; None if it has no point input."""
    for prefix in ('', 'pts_'):
        encoder = getattr(network, f'{prefix}voxel_encoder', None)
        if encoder is None:
            continue
        if hasattr(encoder, 'num_features'):  # it averages the points
            return encoder.num_features
        if hasattr(encoder, 'in_channels'):
            # Includes the features that the encoder adds to each point.
            return encoder.in_channels - sum(
                size * bool(getattr(encoder, name, False))
                for name, size in (('_with_cluster_center', 3),
                                   ('_with_voxel_center', 3),
                                   ('_with_distance', 1)))
        middle = getattr(network, f'{prefix}middle_encoder', None)
        return getattr(middle, 'in_channels', None)
    if getattr(network, 'depth_source', None) == 'points':
        return 3  # cameras with depth from points
    backbone = getattr(network, 'backbone', None)
    if hasattr(backbone, 'SA_modules'):  # PointNet++
        return getattr(backbone, 'in_channels', 4)
    return None


def _box_size(network: nn.Module) -> int:
    """Size of the boxes that the heads are trained with: 9 with velocity."""
    heads: List[Optional[nn.Module]] = [
        getattr(network, name, None) for name in ('bbox_head', 'pts_bbox_head')
    ]
    coders = [getattr(head, 'bbox_coder', None) for head in heads]
    return 9 if any(getattr(c, 'code_size', 7) == 9 for c in coders) else 7
