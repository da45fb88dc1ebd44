"""Adaptive and cooperative attention masking (ACAM-KD)."""
import logging
from typing import Dict, List, NamedTuple, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from mmkd.core.distiller import Distiller, StepBatch
from mmkd.core.features import build_connectors, check_features
from mmkd.core.logits import check_logits
from mmkd.core.schedule import WeightLike
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual, feature_distance
from mmkd.errors import ConfigError
from mmkd.methods.acam.attention import cross_attention
from mmkd.methods.acam.losses import (channel_mask_loss, channel_masks,
                                      mask_diversity, mask_statistics,
                                      spatial_mask_loss, spatial_masks)
from mmkd.ops.connectors import match_size
from mmkd.ops.precision import full_precision
from mmkd.registry import DISTILLERS

#: What may be distilled; 'maps' is one of the others, by the network.
PLACES = ('maps', 'neck', 'logits', 'stages')
#: Masks of each kind where features are distilled, as published.
NUM_MASKS = 6
#: Standard deviation of fresh selection units.
UNIT_STD = 0.01

_add = full_precision(torch.add)


def _is_class_map(spec: TapSpec) -> bool:
    """Whether a level holds a segmentor's scores, one channel a class."""
    return 'conv_seg' in spec.path and '@input' not in spec.path


class Masks(NamedTuple):
    """The masks of one level, on the teacher's grid.

    Attributes:
        spatial (Tensor, optional): Masks over the cells, (N, M, H, W).
        channel (Tensor, optional): Masks over the channels, (N, M, C).
    """
    spatial: Optional[Tensor]
    channel: Optional[Tensor]


class FeatureFusion(nn.Module):
    r"""Student-teacher cross-attention feature fusion (STCA-FF).

    .. math::
        Z_p = \sum_j A_{pj} (W_v F_S)_j, \quad A_p = \mathrm{softmax}_j(
            (W_q F_T)_p \cdot (W_k F_S)_j / \sqrt{C_q})

    One head, without residual, output projection or normalisation. The
    projections are 1x1 convolutions without bias; C_q is half the teacher's
    channels.

    Args:
        query_channels (int): Channels of the map that asks.
        key_channels (int): Channels of the map that is asked.
        out_channels (int): Channels of Z, those of the teacher.
        max_kv (int, optional): Most positions that are attended over; larger
            maps are average-pooled first. None is exact. Defaults to None.
    """

    def __init__(self,
                 query_channels: int,
                 key_channels: int,
                 out_channels: int,
                 max_kv: Optional[int] = None) -> None:
        super().__init__()
        inner = max(1, out_channels // 2)
        self.query = nn.Conv2d(query_channels, inner, 1, bias=False)
        self.key = nn.Conv2d(key_channels, inner, 1, bias=False)
        self.value = nn.Conv2d(key_channels, out_channels, 1, bias=False)
        self.max_kv = max_kv
        self._pooling_is_logged = False

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        """Fuse two maps.

        Args:
            asking (Tensor): Source of the queries, (N, C, H, W).
            asked (Tensor): Source of keys and values, (N, C', H', W').

        Returns:
            Tensor: Z (N, out_channels, H, W).
        """
        asked = self._pool(asked)
        return cross_attention(
            self.query(asking), self.key(asked), self.value(asked))

    def _pool(self, feat: Tensor) -> Tensor:
        """Pool by the smallest stride that leaves at most ``max_kv`` cells.
        """
        height, width = feat.shape[2:]
        if self.max_kv is None or height * width <= self.max_kv:
            return feat
        stride = 2
        while -(-height // stride) * -(-width // stride) > self.max_kv:
            stride += 1
        if not self._pooling_is_logged:
            self._pooling_is_logged = True
            print_log(
                f'ACAM: attention over a map of {height}x{width} is '
                f'approximate: keys and values are pooled by {stride} '
                f'(max_kv={self.max_kv})', 'current')
        return F.avg_pool2d(
            feat, stride, stride, ceil_mode=True, count_include_pad=False)


class MaskLevel(nn.Module):
    """Fusion and selection units (ASCM) of one level.

    Args:
        channels_s (int): Channels of the student's map.
        channels_t (int): Channels of the teacher's map.
        num_masks (int): Masks of each kind, M.
        acam (ACAM): The method, for its switches.
    """

    def __init__(self, channels_s: int, channels_t: int, num_masks: int,
                 acam: 'ACAM') -> None:
        super().__init__()
        self.query = acam.query
        self.detach_inputs = acam.detach_inputs
        self.residual = acam.residual
        self.standardised = acam.unit_norm == 'standardise'
        self.fusion: Optional[FeatureFusion] = None
        if acam.mask_source == 'cooperative':
            asking, asked = channels_t, channels_s
            if acam.query == 'student':
                asking, asked = asked, asking
            self.fusion = FeatureFusion(asking, asked, channels_t, acam.max_kv)
        self.spatial_units: Optional[nn.Parameter] = None
        self.channel_units: Optional[nn.Parameter] = None
        trained = acam.mask_source != 'teacher_fixed'

        def units(width: int) -> nn.Parameter:
            return nn.Parameter(
                UNIT_STD * torch.randn(num_masks, width),
                requires_grad=trained)

        if acam.use_spatial:
            self.spatial_units = units(channels_t)
        if acam.use_channel:
            self.channel_units = units(1 if acam.channel_units ==
                                       'shared' else channels_t)

    def forward(self, feat_s: Tensor, feat_t: Tensor,
                aligned: Tensor) -> Masks:
        """Make the masks of a batch.

        Args:
            feat_s (Tensor): Student's map (N, C_S, H', W').
            feat_t (Tensor): Teacher's map (N, C, H, W).
            aligned (Tensor): The student's map on the teacher's channels and
                grid, (N, C, H, W).

        Returns:
            Masks: On the teacher's grid.
        """
        fused = feat_t
        if self.fusion is not None:
            if self.detach_inputs:
                feat_s = feat_s.detach()
            fused = self.fusion(feat_t, feat_s) if self.query == 'teacher' \
                else match_size(self.fusion(feat_s, feat_t), feat_t)
            if self.residual != 'none':
                fused = _add(fused, feat_t)
            if self.residual == 'both':
                fused = _add(fused, aligned.detach())
        return Masks(
            None if self.spatial_units is None else spatial_masks(
                fused, self.spatial_units, self.standardised),
            None if self.channel_units is None else channel_masks(
                fused, self.channel_units, self.standardised))


@DISTILLERS.register_module()
class ACAM(Distiller):
    r"""Match feature maps under masks that student and teacher make together.

    `ACAM-KD: Adaptive and Cooperative Attention Masking for Knowledge
    Distillation <https://arxiv.org/abs/2503.06307>`_ (Lan and Tian, ICCV
    2025). At every step cross-attention fuses the teacher's map (query) with
    the student's (key and value); M learnable selection units turn the
    fused map into M masks over the cells and M over the channels. Under each
    the squared difference of the maps is averaged
    (:func:`spatial_mask_loss`,
    :func:`channel_mask_loss`), and the masks of a kind are kept
    apart (:func:`mask_diversity`):

    ``L = L_task + alpha (L_spatial + L_channel) + lambda_div L_div``

    Each level has projections and units of its own. No ground truth is read.
    The attention is exact, and its memory grows with the cells of a map; its
    time grows with their square (:func:`cross_attention`).

    The authors published no code. Ours are, where the paper is silent: the
    mean over pairs as diversity (``div_reduction='ratio'`` is the formula as
    reported), its sum over both kinds of masks, sums over levels, the
    initialisation, and that the student's map is detached where masks are
    made. As the equations stand, masks may collapse to 0 or 1 everywhere.
    The log therefore shows, for each level, ``mask_mean``, ``mask_std`` (over
    the cells) and ``mask_dead`` (share of units with a mean below 0.02 or
    above 0.98), and a warning comes once when they have collapsed.
    ``stabilise=True`` is **our** remedy, not the paper's; say so with results.

    Args:
        place (str): What is distilled: ``'neck'``, ``'logits'`` (class maps
            before any resize), ``'stages'`` (levels of the backbone), or
            ``'maps'``: class maps of a segmentor and neck levels of a
            detector. Defaults to ``'maps'``.
        student (str | list[str], optional): Taps (N, C, H, W) in the student
            if not the standard ones; maps of any kind, such as bird's-eye
            view. Class maps are recognised by the name ``conv_seg`` (not
            ``conv_seg@input``, the features before it), or by
            ``place='logits'``. Defaults to None.
        teacher (str | list[str], optional): Taps (N, C', H', W') in the
            teacher. The student's map is resized to H' x W' where the
            difference is taken. Defaults to None.
        num_masks (int, optional): M. Defaults to None: 6, and the number of
            classes on class maps.
        alpha (float | dict): Weight of ``loss_spatial`` and of
            ``loss_channel``. Defaults to 1.0.
        lambda_div (float | dict): Weight of ``loss_div``. Defaults to 1.0.
        use_spatial (bool): Whether there are masks over cells. Defaults to
            True.
        use_channel (bool): Whether there are masks over channels. Defaults
            to True.
        query (str): Which side asks in the fusion, ``'teacher'`` or
            ``'student'``. Defaults to ``'teacher'``.
        mask_source (str): ``'cooperative'``; ``'teacher'`` makes masks of
            the teacher's map alone; ``'teacher_fixed'`` with frozen units as
            well, which then have to come from a checkpoint of a run with
            ``'teacher'`` (its entries ``distill.*``). Defaults to
            ``'cooperative'``.
        mask_grad (str): ``'joint'`` trains units and projections by all
            terms, ``'div_only'`` by ``loss_div`` alone. Defaults to
            ``'joint'``.
        channel_units (str): ``'shared'`` is one number a unit, as reported;
            all masks over channels then scale one vector. ``'full'`` is one
            a unit and channel. Defaults to ``'shared'``.
        div_reduction (str): ``'pairwise_mean'`` or ``'ratio'``, which is up
            to M - 1 times as large. Defaults to ``'pairwise_mean'``.
        detach_inputs (bool): Whether the masks give the student no gradient.
            Defaults to True.
        max_kv (int, optional): Most positions that are attended over; maps
            with more are pooled for keys and values, an approximation that
            the log names. Defaults to None: exact.
        unit_norm (str): ``'standardise'`` standardises what the units see:
            each channel over the cells for masks over cells, the pooled
            vector over channels for the others. Ours. Defaults to
            ``'none'``.
        residual (str): What is added to the fused map: ``'none'``,
            ``'teacher'``, or ``'both'`` maps, detached. Ours. Defaults to
            ``'none'``.
        stabilise (bool): Our preset against collapse:
            ``unit_norm='standardise'`` and ``residual='both'``. Defaults to
            False.
        connector (str | dict | None): For features: ``'auto'`` (a 1x1
            convolution where the channels differ), None, or a config. Class
            maps have none. Defaults to ``'auto'``.
        level_weights (Sequence[float], optional): A factor for each level,
            such as ``(1, 0.4)`` for a main and an auxiliary head. Defaults
            to None: all 1.
        align_corners (bool): How to resize. Defaults to False.
        warn_after (int): Iteration from which a collapse is warned of; fresh
            units hardly vary over the cells. Defaults to 500.
        kwargs: Arguments of :class:`Distiller`, such as ``loss_weight``.

    Raises:
        ConfigError: If an option makes no sense, or contradicts another.
    """

    def __init__(self,
                 place: str = 'maps',
                 student=None,
                 teacher=None,
                 num_masks: Optional[int] = None,
                 alpha: WeightLike = 1.0,
                 lambda_div: WeightLike = 1.0,
                 use_spatial: bool = True,
                 use_channel: bool = True,
                 query: str = 'teacher',
                 mask_source: str = 'cooperative',
                 mask_grad: str = 'joint',
                 channel_units: str = 'shared',
                 div_reduction: str = 'pairwise_mean',
                 detach_inputs: bool = True,
                 max_kv: Optional[int] = None,
                 unit_norm: str = 'none',
                 residual: str = 'none',
                 stabilise: bool = False,
                 connector: Union[str, dict, None] = 'auto',
                 level_weights: Optional[Sequence[float]] = None,
                 align_corners: bool = False,
                 warn_after: int = 500,
                 **kwargs) -> None:
        for name, value, known in (
            ('place', place, PLACES),
            ('query', query, ('teacher', 'student')),
            ('mask_source', mask_source, ('cooperative', 'teacher',
                                          'teacher_fixed')),
            ('mask_grad', mask_grad, ('joint', 'div_only')),
            ('channel_units', channel_units, ('shared', 'full')),
            ('div_reduction', div_reduction, ('pairwise_mean', 'ratio')),
            ('unit_norm', unit_norm, ('none', 'standardise')),
            ('residual', residual, ('none', 'teacher', 'both')),
        ):
            if value not in known:
                raise ConfigError(f'ACAM: {name} is one of '
                                  f'{", ".join(known)}, not {value!r}')
        for name, number in (('num_masks', num_masks), ('max_kv', max_kv)):
            if number is not None and not (isinstance(number, int)
                                           and number > 0):
                raise ConfigError(f'ACAM: {name} must be a positive integer '
                                  f'or None, but got {number!r}')
        if not use_spatial and not use_channel:
            raise ConfigError('ACAM: without use_spatial and use_channel '
                              'there are no masks; set one of them')
        if stabilise:
            if unit_norm != 'none' or residual != 'none':
                raise ConfigError('ACAM: stabilise=True sets unit_norm and '
                                  'residual; leave them out')
            unit_norm, residual = 'standardise', 'both'
        if mask_source != 'cooperative' and residual != 'none':
            raise ConfigError('ACAM: a residual is added to the fused map, '
                              f'but mask_source={mask_source!r} fuses none; '
                              "unit_norm='standardise' alone is possible")
        # What is read is the one role of this distiller.
        self.roles = (place, )
        weights = {}
        if use_spatial:
            weights['loss_spatial'] = alpha
        if use_channel:
            weights['loss_channel'] = alpha
        # Frozen units have nothing to keep apart.
        if mask_source != 'teacher_fixed':
            weights['loss_div'] = lambda_div
        super().__init__(
            student=student, teacher=teacher, weights=weights, **kwargs)
        self.place = place
        self.num_masks = num_masks
        self.use_spatial = use_spatial
        self.use_channel = use_channel
        self.query = query
        self.mask_source = mask_source
        self.mask_grad = mask_grad
        self.channel_units = channel_units
        self.div_reduction = div_reduction
        self.detach_inputs = detach_inputs
        self.max_kv = max_kv
        self.unit_norm = unit_norm
        self.residual = residual
        self.connector_cfg = connector
        self.level_weights = level_weights
        self.align_corners = align_corners
        self.warn_after = warn_after
        self._has_warned = False
        if detach_inputs:
            self.own_terms = ('loss_div', )

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Build connectors, projections and selection units, level by level.
        """
        super().setup(student, teacher)
        levels_s, levels_t = student[self.place], teacher[self.place]
        check_features('ACAM', levels_s, levels_t, resize=True)
        are_logits = self.place == 'logits' or (self.place == 'maps' and all(
            map(_is_class_map, [*levels_s, *levels_t])))
        connector = self.connector_cfg
        if are_logits:
            check_logits('ACAM', levels_s, levels_t)
            if connector not in ('auto', None):
                raise ConfigError('ACAM: class maps take no connector, which '
                                  'could mix the classes; leave it out')
            connector = None
        if self.level_weights is None:
            self.level_weights = [1.0] * len(levels_s)
        elif len(self.level_weights) != len(levels_s):
            raise ConfigError(
                f'ACAM: level_weights has {len(self.level_weights)} numbers, '
                f'but there are {len(levels_s)} levels')
        self.connectors = build_connectors(connector, levels_s, levels_t)
        self.levels = nn.ModuleList(
            MaskLevel(
                spec_s.channels, spec_t.channels, self.num_masks or (
                    spec_t.channels if are_logits else NUM_MASKS), self)
            for spec_s, spec_t in zip(levels_s, levels_t))

    def _align(self, level: int, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """The student's map on the teacher's channels and grid."""
        return match_size(self.connectors[level](feat_s), feat_t,
                          self.align_corners)

    @torch.no_grad()
    def masks(self, student: Dict[str, List[Tensor]],
              teacher: Dict[str, List[Tensor]]) -> List[Masks]:
        """The masks of a batch, for pictures; nothing is kept of them.

        Args:
            student (dict[str, list[Tensor]]): As in :meth:`losses`.
            teacher (dict[str, list[Tensor]]): As in :meth:`losses`.

        Returns:
            list[Masks]: One entry a level.
        """
        return [
            level(feat_s, feat_t, self._align(i, feat_s, feat_t))
            for i, (level, feat_s, feat_t) in enumerate(
                zip(self.levels, student[self.place], teacher[self.place]))
        ]

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Each mask over the cells, and where the maps differ, level by
        level."""
        visuals: List[Visual] = []
        for i, (masks, feat_s, feat_t) in enumerate(
                zip(
                    self.masks(student, teacher), student[self.place],
                    teacher[self.place])):
            level = f'level {i}'
            if masks.spatial is not None:
                visuals += [
                    Heatmap(f'mask {m}', mask, level, changes=True)
                    for m, mask in enumerate(masks.spatial.unbind(1))
                ]
            visuals.append(
                Heatmap(
                    'distance of the maps',
                    feature_distance(self._align(i, feat_s, feat_t), feat_t),
                    level,
                    changes=True))
        return visuals

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``loss_spatial``, ``loss_channel`` and ``loss_div``, each
        summed over the levels, and the figures of the masks."""
        terms: Dict[str, Tensor] = {}
        figures: Dict[str, Tensor] = {}
        dead, deviations = [], []

        def add(term: str, value: Tensor, weight: float) -> None:
            terms[term] = terms.get(term, 0) + weight * value

        for i, (level, feat_s, feat_t, weight) in enumerate(
                zip(self.levels, student[self.place], teacher[self.place],
                    self.level_weights)):
            feat_t = feat_t.detach()
            aligned = self._align(i, feat_s, feat_t)
            masks = level(feat_s, feat_t, aligned)
            kinds = [kind for kind in masks if kind is not None]
            if 'loss_div' in batch.active_terms:
                for kind in kinds:
                    add('loss_div', mask_diversity(kind, self.div_reduction),
                        weight)
            if self.mask_grad == 'div_only':
                masks = Masks(*(kind if kind is None else kind.detach()
                                for kind in masks))
            if 'loss_spatial' in batch.active_terms:
                add('loss_spatial',
                    spatial_mask_loss(aligned, feat_t, masks.spatial), weight)
            if 'loss_channel' in batch.active_terms:
                add('loss_channel',
                    channel_mask_loss(aligned, feat_t, masks.channel), weight)
            statistics = mask_statistics(kinds[0])
            figures.update({
                f'mask_{k}_{i}': value
                for k, value in statistics.items()
            })
            dead.append(statistics['dead'])
            if masks.spatial is not None:
                deviations.append(statistics['std'])
        self._warn_of_collapse(dead, deviations, batch.progress.iter)
        return {**terms, **figures}

    def _warn_of_collapse(self, dead: List[Tensor], deviations: List[Tensor],
                          iteration: int) -> None:
        """Say once that the masks select nothing any more."""
        since = iteration - self.warn_after
        # Seldom: a GPU is waited for to read the figures.
        if self._has_warned or since < 0 or since % 50:
            return
        share = float(torch.stack(dead).mean())
        flat = bool(deviations) and max(map(float, deviations)) < 0.01
        if share <= 0.5 and not flat:
            return
        self._has_warned = True
        found = 'all masks are the same over all cells' if flat else (
            f'{share:.0%} of the units are 0 or 1 nearly everywhere')
        print_log(
            f'ACAM: at iteration {iteration} {found}, so that the masks '
            'select nothing and the losses are plain mean squared errors. '
            'stabilise=True (a deviation from the paper) keeps masks apart.',
            'current', logging.WARNING)
