"""Checks, connectors and sizes for methods on feature maps."""
from typing import Sequence, Union

from torch import Tensor, nn

from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.ops.connectors import ConvConnector, build_connector, match_size


def check_features(method: str, student: Sequence[TapSpec],
                   teacher: Sequence[TapSpec], resize: bool) -> None:
    """Check that the feature maps of both sides can be compared.

    Args:
        method (str): Name of the method, for messages.
        student (Sequence[TapSpec]): The student's levels.
        teacher (Sequence[TapSpec]): The teacher's levels, of equal number.
        resize (bool): Whether the student's maps may be resized.

    Raises:
        ConfigError: If a tensor is not a map, or if sizes differ and
            ``resize`` is False.
    """
    for spec_s, spec_t in zip(student, teacher):
        for spec in (spec_s, spec_t):
            if len(spec.shape) != 4:
                raise ConfigError(
                    f'{method} compares maps (N, C, H, W), but '
                    f'{spec.path!r} gives the shape {spec.shape}')
        size_s, size_t = spec_s.shape[2:], spec_t.shape[2:]
        if size_s != size_t and not resize:
            raise ConfigError(
                f'{method}: {spec_s.path!r} of the student has '
                f'{"x".join(map(str, size_s))} cells and {spec_t.path!r} of '
                f'the teacher {"x".join(map(str, size_t))}; tap levels of one '
                'stride, or set resize=True')


def build_connectors(cfg: Union[str, dict, None], student: Sequence[TapSpec],
                     teacher: Sequence[TapSpec]) -> nn.ModuleList:
    """Build a connector for each level.

    ``'auto'`` is a 1x1 convolution if the channels differ, with PyTorch's
    default initialisation, as in the released code of feature-based methods.

    Args:
        cfg (str | dict | None): As in
            :func:`build_connector`.
        student (Sequence[TapSpec]): The student's levels.
        teacher (Sequence[TapSpec]): The teacher's, as many.

    Raises:
        ConfigError: If one cannot be built.
    """
    connectors = nn.ModuleList(
        build_connector(cfg, spec_s.channels, spec_t.channels)
        for spec_s, spec_t in zip(student, teacher))
    for connector in connectors:
        if cfg == 'auto' and isinstance(connector, ConvConnector):
            connector.conv.reset_parameters()
            # Else `init_weights` of a method that holds it directly, not in
            # a list, initialises it as mmcv does.
            connector.is_init = True
    return connectors


def match_student(method: str, feat_s: Tensor, feat_t: Tensor,
                  resize: bool) -> Tensor:
    """Resize the student's map to the size of the teacher's.

    Args:
        method (str): Name of the method, for messages.
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's map (N, C, H', W').
        resize (bool): Whether to resize it, bilinearly.

    Raises:
        ConfigError: If the sizes differ and ``resize`` is False.
    """
    if feat_s.shape[2:] != feat_t.shape[2:] and not resize:
        raise ConfigError(
            f'{method}: a map of the student has the size '
            f'{tuple(feat_s.shape[2:])} in cells and that of the teacher '
            f'{tuple(feat_t.shape[2:])}; give both networks the same padding '
            '(`pad_size_divisor`), or set resize=True')
    return match_size(feat_s, feat_t)
