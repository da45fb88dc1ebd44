"""Detectors of mmdet3d, and mmkd's own that derive from them."""
from typing import Any, Dict, List, Optional, Tuple, Union

from torch import nn

from mmkd.errors import ConfigError
from mmkd.families.base import Batch, Family
from mmkd.families.detection_heads import DetectionHead, head_kind
from mmkd.families.example_frames import bev_grid, example_frame, voxel_layer
from mmkd.families.preprocessing import ImageNorm
from mmkd.families.taps import KnownTap, Place

#: Where the map is in what a sparse encoder returns.
_MAP_OF = dict(SparseUNet='[spatial_features]', SparseEncoderSASSD='[0]')


class MMDet3DFamily(Family):
    """Detectors of mmdet3d for LiDAR or several sensors."""
    name = 'mmdet3d'
    visualizer = 'Det3DLocalVisualizer'
    packing = ''
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
            'class_maps':
            Place(
                'class scores of a CenterHead or an Anchor3DHead, before the '
                'sigmoid', _class_maps, False),
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
        """See :func:`~mmkd.families.example_frames.example_frame`."""
        return example_frame(network, size)

    def _stages(self, network: nn.Module) -> List[Union[str, dict]]:
        return [*_point_stages(network)] or super()._stages(network)

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
        layer = voxel_layer(network)
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
        layer = voxel_layer(network) or bev_grid(network)
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
        layer = voxel_layer(network) or bev_grid(network)
        if head is None or kind is None or layer is None:
            raise ConfigError(
                f'{name} ({type(network).__name__}) has no head that this '
                'method knows: it serves detectors with voxels or cameras '
                'on a map, and a CenterHead or an Anchor3DHead')
        return kind(head, layer.point_cloud_range)


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


def _class_maps(network: nn.Module) -> List[KnownTap]:
    return [
        tap._replace(kind='head_maps') for tap in _head_maps(network)
        if tap.branch in ('heatmap', 'cls_score')
        and getattr(_head(network)[1], 'use_sigmoid_cls', True)
    ]


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
    return [tap.replace('[1:]', '') + '[-1]' for tap in _point_stages(network)]


def _point_stages(network: nn.Module) -> List[str]:
    """Taps of the levels of PointNet++, features of points (B, C, P)."""
    for name in ('backbone', 'pts_backbone'):
        backbone = getattr(network, name, None)
        if hasattr(backbone, 'SA_modules'):
            # With layers that go back to more points, or without; then, the
            # first level is its input.
            if getattr(backbone, 'FP_modules', ()):
                return [f'{name}[fp_features]']
            return [f'{name}[sa_features][1:]']
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
            kind = type(middle).__name__
            pillars = kind == 'PointPillarsScatter'
            if pillars:
                return [f'{prefix}backbone[0]']
            part = _MAP_OF.get(kind, '')
            if getattr(middle, 'return_middle_feats', False):
                part = '[0]'
            return [f'{prefix}middle_encoder{part}']
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
