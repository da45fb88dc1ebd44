"""Where the standard places lie in the libraries' model families."""
from typing import Callable, Dict, List, Tuple

from torch import nn

from mmkd.errors import ConfigError


def _logits(network: nn.Module) -> List[str]:
    head = getattr(network, 'decode_head', None)
    if isinstance(head, nn.ModuleList):  # a cascade: the last head decides
        last = len(head) - 1
        return [f'decode_head.{last}.conv_seg'] if hasattr(
            head[last], 'conv_seg') else []
    return ['decode_head.conv_seg'] if hasattr(head, 'conv_seg') else []


def _stages(network: nn.Module) -> List[str]:
    for name in ('backbone', 'pts_backbone', 'img_backbone'):
        if isinstance(getattr(network, name, None), nn.Module):
            return [name]
    return []


def _neck(network: nn.Module) -> List[str]:
    for name in ('neck', 'pts_neck', 'img_neck'):
        if isinstance(getattr(network, name, None), nn.Module):
            return [name]
    return []


def _maps(network: nn.Module) -> List[str]:
    return _logits(network) or _neck(network)


def _features(network: nn.Module) -> List[str]:
    for name in _neck(network):
        neck = getattr(network, name)
        # A level beyond the convolutions of a pyramid is pooled from the
        # last one and says nothing new.
        convs = getattr(neck, 'fpn_convs', None)
        pooled = isinstance(
            convs,
            nn.ModuleList) and 0 < len(convs) < getattr(neck, 'num_outs', 0)
        return [f'{name}[0:{len(convs)}]' if pooled else name]
    return [f'{name}[-1]' for name in _stages(network)]


def _patch_embeds(network: nn.Module) -> List[str]:
    """The patch embedding of each stage of a transformer pyramid.

    Of backbones laid out as mmseg's ``MixVisionTransformer`` and mmdet's
    ``PyramidVisionTransformerV2``: stages that begin with a ``PatchEmbed``.
    """
    for name in _stages(network):
        stages = getattr(getattr(network, name), 'layers', None)
        if isinstance(stages, nn.ModuleList) and all(
                isinstance(stage, nn.ModuleList) and len(stage) and isinstance(
                    getattr(stage[0], 'projection', None), nn.Conv2d)
                for stage in stages):
            return [f'{name}.layers.{i}.0' for i in range(len(stages))]
    return []


def _embeddings(network: nn.Module) -> List[str]:
    # They give the tokens and the size of the map that they make.
    return [f'{path}[0]' for path in _patch_embeds(network)]


def _patches(network: nn.Module) -> List[str]:
    return [f'{path}.projection@input' for path in _patch_embeds(network)]


def _nodes(network: nn.Module) -> List[str]:
    """What a graph of a scan is made of, in the families of mmdet3d."""
    for prefix in ('', 'pts_'):
        encoder = getattr(network, f'{prefix}voxel_encoder', None)
        if not isinstance(encoder, nn.Module):
            continue
        if hasattr(getattr(network, f'{prefix}neck', None), 'fpn_convs'):
            return [f'{prefix}neck[0]']
        if next(encoder.parameters(), None) is not None:
            return [f'{prefix}voxel_encoder']
        # One that averages the points has learned nothing.
        return [f'{prefix}backbone[0:2]']
    if hasattr(getattr(network, 'neck', None), 'FP_modules'):
        return ['neck[fp_features]']  # PointNet++, back at the points
    return []


def _head_maps(network: nn.Module) -> list:
    # Imported when asked for: models know of taps, not taps of models.
    from mmkd.families.detection_heads import head_taps
    return head_taps(network)


def _bev_low(network: nn.Module) -> List[str]:
    """The map that the encoder of a bird's-eye view begins with."""
    if isinstance(getattr(network, 'bev_backbone', None), nn.Module):
        return ['bev_backbone@input']
    for prefix in ('pts_', ''):
        middle = getattr(network, f'{prefix}middle_encoder', None)
        if isinstance(middle, nn.Module):
            # The canvas of pillars is mostly empty: what its first stage
            # makes of it corresponds to the map of a voxel encoder.
            pillars = type(middle).__name__ == 'PointPillarsScatter'
            return [
                f'{prefix}backbone[0]'
                if pillars else f'{prefix}middle_encoder'
            ]
    return []


def _bev_high(network: nn.Module) -> List[str]:
    """The map that the head of a bird's-eye view gets."""
    for name in ('bev_neck', 'pts_neck'):
        if isinstance(getattr(network, name, None), nn.Module):
            return [f'{name}[0]']
    return []


def _responses(network: nn.Module) -> List[str]:
    """The branches of each task of a CenterHead, class scores first.

    The others follow by name: a config lists them in any order, and one that
    was exported in another than its source.
    """
    for name in ('bbox_head', 'pts_bbox_head'):
        tasks = getattr(getattr(network, name, None), 'task_heads', None)
        if isinstance(tasks, nn.ModuleList):
            return [
                f'{name}[{i}][0][{branch}]' for i, task in enumerate(tasks)
                for branch in (
                    'heatmap',
                    *sorted(set(getattr(task, 'heads', {})) - {'heatmap'}))
            ]
    return []


#: Name of a place -> what it is, and the taps where it lies in a network.
PLACES: Dict[str, Tuple[str, Callable[[nn.Module], List[str]]]] = {
    # These first, so that a list of places shows the others' names.
    'maps': ('class scores of a segmentation head, or else levels of the '
             'neck', _maps),
    'features': ('levels of the neck that have a convolution of their own, or '
                 'else the last stage of the backbone', _features),
    'nodes': ('learned features of voxels, or else of cells or points, of a '
              'LiDAR detector', _nodes),
    'head_maps': ('outputs of the last convolutions of a CenterHead or an '
                  'Anchor3DHead', _head_maps),
    'bev_low':
    ("the map that the encoder of a bird's-eye view begins with", _bev_low),
    'bev_high': ("the map that the head of a bird's-eye view gets", _bev_high),
    'responses': ('branches of each task of a CenterHead', _responses),
    'logits': ('class scores of the deciding segmentation head', _logits),
    'stages': ('outputs of the backbone', _stages),
    'neck': ('levels of the neck', _neck),
    'embeddings':
    ('tokens that enter each stage of a transformer pyramid', _embeddings),
    'patches': ('what its patch convolutions are given: the image, then the '
                'output of each stage', _patches),
}


def standard_taps(network: nn.Module, place: str, name: str) -> List[str]:
    """The taps of a standard place in a network of a known family.

    Args:
        network (nn.Module): A model of mmseg, mmdet or mmdet3d.
        place (str): One of :data:`PLACES`.
        name (str): What to call the network in messages.

    Returns:
        list[str]: One tap, or as many as there are levels.

    Raises:
        ConfigError: If the network has no such place.
    """
    what, find = PLACES.get(place, (place, lambda network: []))
    paths = find(network)
    if not paths:
        raise ConfigError(
            f'{name} ({type(network).__name__}) has no standard place for '
            f'{place!r} ({what}); name the tap in the config. '
            '`tools/list_taps.py` lists what can be tapped.')
    return paths
