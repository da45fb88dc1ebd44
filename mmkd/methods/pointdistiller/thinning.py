"""Configs of thinner LiDAR detectors, derived from a wide one."""
import math
from copy import deepcopy
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from mmkd.errors import ConfigError

#: Published divisors of the widths by compression (for other compressions,
#: the square root, which these two are close to).
RATIOS = {2: 1.4, 8: 2.8}

Widths = Union[int, Sequence]


def thin(model: Dict[str, Any], compression: float) -> Dict[str, Any]:
    """Divide every learned width of a LiDAR detector; the depth is kept.

    This is how the students of PointDistiller (arXiv 2205.11098) are made:
    each width is divided by the square root of the compression and rounded
    down, and input channels follow from the preceding layer. In a config,
    after its ``_base_``::

        from mmkd.methods.pointdistiller import thin
        model = thin(_base_.model, 4)

    Args:
        model (dict): Model of the wide detector: ``VoxelNet``,
            ``CenterPoint``, ``MVXFasterRCNN`` (all with ``SECOND`` under
            ``SECONDFPN`` or ``FPN``) or ``PointRCNN``.
        compression (float): Approximate factor by which parameters and
            operations decrease: 2, 4, 8, 16 or any other number of at least
            1.

    Returns:
        dict: The model; only widths differ.

    Raises:
        ConfigError: If the detector or one of its parts is not supported.
    """
    if not compression >= 1:
        raise ConfigError('thin: the compression must be at least 1, but got '
                          f'{compression!r}')
    widths = _Widths(RATIOS.get(compression, math.sqrt(compression)))
    kind = _kind(model)
    model = _plain(model)
    if kind == 'PointRCNN':
        _thin_point_rcnn(model, widths)
    elif kind in ('VoxelNet', 'CenterPoint', 'MVXFasterRCNN'):
        prefix = '' if kind == 'VoxelNet' else 'pts_'
        if model.get('img_backbone'):
            raise ConfigError(f'thin: {kind} with images is not known; thin '
                              'detectors of points')
        _thin_voxel_detector(model, prefix, widths)
    else:
        raise ConfigError(
            f'thin: {model.get("type")} is not known; it thins VoxelNet, '
            'CenterPoint, MVXFasterRCNN and PointRCNN. Write the widths of '
            'another detector into its config')
    return model


class _Widths:
    """Widths divided by a number and rounded down."""

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def __call__(self, widths: Any, multiple: int = 1) -> Any:
        if isinstance(widths, (list, tuple)):
            return type(widths)(self(width, multiple) for width in widths)
        # 196 / 2.8 must be 70 despite rounding errors.
        thinner = math.floor(widths / self.ratio + 1e-6)
        return max(thinner // multiple, 1) * multiple


def _plain(value: Any) -> Any:
    """A copy in plain dicts, without the lookups of a config."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return deepcopy(value)


def _kind(part: Optional[Dict[str, Any]]) -> Optional[str]:
    """Name of a part's class without its scope."""
    return str(part['type']).split('.')[-1] if part else None


def _known(part: Dict[str, Any], name: str, *kinds: str) -> str:
    kind = _kind(part)
    if kind not in kinds:
        raise ConfigError(f'thin: the {name} {kind} is not known; it thins '
                          f'{", ".join(kinds)}')
    return kind


def _thin_voxel_detector(model: Dict[str, Any], prefix: str,
                         widths: _Widths) -> None:
    encoder = model[f'{prefix}voxel_encoder']
    middle = model[f'{prefix}middle_encoder']
    backbone = model[f'{prefix}backbone']
    neck = model[f'{prefix}neck']
    if 'feat_channels' in encoder:
        encoder['feat_channels'] = widths(encoder['feat_channels'])
    elif _kind(encoder) not in ('HardSimpleVFE', 'DynamicSimpleVFE'):
        raise ConfigError(f'thin: the voxel encoder {_kind(encoder)} is not '
                          'known, as its config names no `feat_channels`')
    kind = _known(middle, 'middle encoder', 'PointPillarsScatter',
                  'SparseEncoder')
    if kind == 'PointPillarsScatter':
        middle['in_channels'] = encoder['feat_channels'][-1]
        backbone['in_channels'] = middle['in_channels']
    else:
        depth = backbone['in_channels'] // middle.get('output_channels', 128)
        # The defaults of `SparseEncoder`.
        defaults = dict(
            base_channels=16,
            output_channels=128,
            encoder_channels=((16, ), (32, 32, 32), (64, 64, 64), (64, 64,
                                                                   64)))
        for name, width in defaults.items():
            middle[name] = widths(middle.get(name, width))
        backbone['in_channels'] = depth * middle['output_channels']
    _known(backbone, 'backbone', 'SECOND')
    backbone['out_channels'] = widths(backbone['out_channels'])
    _known(neck, 'neck', 'SECONDFPN', 'FPN')
    neck['in_channels'] = list(backbone['out_channels'])
    neck['out_channels'] = widths(neck['out_channels'])
    given = neck['out_channels']
    _thin_dense_head(model[f'{prefix}bbox_head'],
                     given if isinstance(given, int) else sum(given), widths)


def _thin_dense_head(head: Dict[str, Any], in_channels: int,
                     widths: _Widths) -> None:
    kind = _known(head, 'head', 'Anchor3DHead', 'CenterHead')
    head['in_channels'] = in_channels
    if kind == 'Anchor3DHead':
        head['feat_channels'] = in_channels  # of its 1x1 convolutions
        return
    separate = head.setdefault('separate_head', dict(type='SeparateHead'))
    deformable = separate.get('dcn_config')
    groups = (deformable or {}).get('groups', 1)
    shared = widths(head.get('share_conv_channel', 64), groups)
    head['share_conv_channel'] = shared
    separate['head_conv'] = widths(separate.get('head_conv', 64))
    if deformable:
        deformable.update(in_channels=shared, out_channels=shared)


def _thin_point_rcnn(model: Dict[str, Any], widths: _Widths) -> None:
    backbone, neck = model['backbone'], model['neck']
    backbone['sa_channels'] = widths(backbone['sa_channels'])
    # Output of each set abstraction: the last widths of its scales.
    skips: List[int] = [backbone['in_channels'] - 3] + [
        sum(scale[-1] for scale in scales)
        for scales in backbone['sa_channels']
    ]
    given, stages = skips.pop(), []
    for stage in neck['fp_channels']:
        out = widths(tuple(stage[1:]))
        stages.append((given + skips.pop(), *out))
        given = out[-1]
    neck['fp_channels'] = tuple(stages)
    points = model['rpn_head']['pred_layer_cfg']
    points['in_channels'] = given
    _thin_keys(points, ('cls_linear_channels', 'reg_linear_channels'), widths)
    head = model['roi_head']['bbox_head']
    _thin_keys(head, ('mlp_channels', 'sa_channels'), widths)
    boxes = head['pred_layer_cfg']
    boxes['in_channels'] = head['sa_channels'][-1][-1]
    _thin_keys(boxes, ('cls_conv_channels', 'reg_conv_channels'), widths)


def _thin_keys(part: Dict[str, Any], keys: Tuple[str, ...],
               widths: _Widths) -> None:
    for key in keys:
        part[key] = widths(part[key])
