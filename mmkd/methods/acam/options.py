"""Options of ACAM."""
from dataclasses import dataclass
from typing import Literal, Optional, Sequence, Union

from mmkd.errors import ConfigError
from mmkd.utils.arguments import check_choices, check_in_use


@dataclass(frozen=True)
class ACAMOptions:
    """Options of the masks and losses of ACAM.

    Args:
        num_masks: M, the number of masks of each kind. Defaults to None: 6,
            or the number of classes for class maps.
        use_spatial: Whether there are masks over cells.
        use_channel: Whether there are masks over channels.
        query: Source of the queries in the fusion.
        mask_source: ``'teacher'`` makes masks of the teacher's map alone;
            ``'teacher_fixed'`` with frozen units as well, which then have to
            come from a checkpoint of a run with ``'teacher'`` (its entries
            ``distill.*``).
        mask_grad: ``'joint'`` trains units and projections by all terms,
            ``'div_only'`` by ``div`` alone.
        channel_units: ``'shared'`` is one number a unit, as reported; all
            masks over channels then scale one vector. ``'full'`` is one a
            unit and channel.
        div_reduction: ``'ratio'`` is up to M - 1 times as large as
            ``'pairwise_mean'``.
        detach_inputs: Whether the masks pass no gradient to the student.
        max_kv: Maximum number of positions to attend to; keys and values of
            larger maps are pooled, an approximation that is logged. Defaults
            to None: exact.
        unit_norm: ``'standardise'`` standardises the input of the units:
            each channel over the cells for masks over cells, the pooled
            vector over channels for the others. Not from the paper.
        residual: Maps to add to the fused map, detached: ``'teacher'`` or
            ``'both'``. Not from the paper.
        stabilise: Remedy against collapse: ``unit_norm='standardise'`` and
            ``residual='both'``. Not from the paper.
        connector: For features: ``'auto'`` (a 1x1 convolution if the channels
            differ), None, or a config. Class maps have none.
        level_weights: A factor for each level, such as ``(1, 0.4)`` for a
            main and an auxiliary head. Defaults to None: all 1.
        align_corners: See ``F.interpolate``.
        warn_after: First iteration with a warning about a collapse, since new
            masks hardly vary over the cells.

    Raises:
        ConfigError: If an option is invalid, or contradicts another.
    """
    num_masks: Optional[int] = None
    use_spatial: bool = True
    use_channel: bool = True
    query: Literal['teacher', 'student'] = 'teacher'
    mask_source: Literal['cooperative', 'teacher',
                         'teacher_fixed'] = 'cooperative'
    mask_grad: Literal['joint', 'div_only'] = 'joint'
    channel_units: Literal['shared', 'full'] = 'shared'
    div_reduction: Literal['pairwise_mean', 'ratio'] = 'pairwise_mean'
    detach_inputs: bool = True
    max_kv: Optional[int] = None
    unit_norm: Literal['none', 'standardise'] = 'none'
    residual: Literal['none', 'teacher', 'both'] = 'none'
    stabilise: bool = False
    connector: Union[str, dict, None] = 'auto'
    level_weights: Optional[Sequence[float]] = None
    align_corners: bool = False
    warn_after: int = 500

    def __post_init__(self) -> None:
        check_choices('ACAM', type(self), **vars(self))
        for name in ('num_masks', 'max_kv'):
            number = getattr(self, name)
            if number is not None and not (isinstance(number, int)
                                           and number > 0):
                raise ConfigError(f'ACAM: {name} must be a positive integer '
                                  f'or None, but got {number!r}')
        if not self.use_spatial and not self.use_channel:
            raise ConfigError('ACAM: without use_spatial and use_channel '
                              'there are no masks; set one of them')
        if self.stabilise and (self.unit_norm != 'none'
                               or self.residual != 'none'):
            raise ConfigError('ACAM: stabilise=True sets unit_norm and '
                              'residual; leave them out')
        if self.mask_source != 'cooperative' and self.added != 'none':
            raise ConfigError(
                'ACAM: a residual is added to the fused map, but '
                f'mask_source={self.mask_source!r} fuses none; '
                "unit_norm='standardise' alone is possible")
        source = f'mask_source={self.mask_source!r}'
        if self.mask_source != 'cooperative':
            check_in_use('ACAM', self, ('query', 'max_kv', 'detach_inputs'),
                         source, "mask_source='cooperative'")
        if self.mask_source == 'teacher_fixed':
            check_in_use('ACAM', self, ('mask_grad', 'div_reduction'), source,
                         "mask_source='teacher'")
        if not self.use_channel:
            check_in_use('ACAM', self, ('channel_units', ),
                         'use_channel=False', 'use_channel=True')

    @property
    def standardised(self) -> bool:
        """Whether the input of the units is standardised."""
        return self.stabilise or self.unit_norm == 'standardise'

    @property
    def added(self) -> str:
        """The maps added to the fused map, as in ``residual``."""
        return 'both' if self.stabilise else self.residual
