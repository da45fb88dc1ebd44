"""Adaptive and cooperative attention masking (ACAM-KD)."""
import logging
from typing import Dict, List, Literal

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.features import build_connectors, check_features
from mmkd.core.logits import check_logits
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual, feature_distance
from mmkd.errors import ConfigError
from mmkd.methods.acam.losses import (channel_mask_loss, mask_diversity,
                                      mask_statistics, spatial_mask_loss)
from mmkd.methods.acam.modules import MaskLevel, Masks
from mmkd.methods.acam.options import ACAMOptions
from mmkd.ops.connectors import match_size
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices, take_options

#: Kinds of taps that give class scores, one channel a class.
_CLASS_MAPS = ('logits', 'auxiliary_logits')
#: Published number of masks of each kind for features.
NUM_MASKS = 6


@DISTILLERS.register_module()
class ACAM(Distiller):
    r"""Match feature maps under masks computed from student and teacher.

    `ACAM-KD: Adaptive and Cooperative Attention Masking for Knowledge
    Distillation <https://arxiv.org/abs/2503.06307>`_ (Lan and Tian, ICCV
    2025). At every step cross-attention fuses the teacher's map (query) with
    the student's (key and value); M learnable selection units turn the
    fused map into M masks over the cells and M over the channels. The
    squared difference of the maps is averaged under each mask
    (:func:`spatial_mask_loss`, :func:`channel_mask_loss`), and a diversity
    term keeps the masks of each kind distinct (:func:`mask_diversity`):

    ``L = L_task + alpha (L_spatial + L_channel) + lambda_div L_div``

    The letters are the weights of the terms ``spatial``, ``channel`` and
    ``div``.

    Each level has its own projections and units. The method needs no ground
    truth. The attention is exact; its memory grows linearly with the number
    of cells, its time quadratically (:func:`cross_attention`).

    The authors published no code. Where the paper leaves details open, these
    choices are ours: the mean over pairs as diversity
    (``div_reduction='ratio'`` is the formula as reported), its sum over both
    kinds of masks, sums over levels, the initialisation, and detaching the
    student's map before the masks are computed. With the equations as
    published, masks can collapse to 0 or 1 everywhere. The log therefore
    shows, for each level, ``mask_mean``, ``mask_std`` (over the cells) and
    ``mask_dead`` (fraction of units with a mean below 0.02 or above 0.98),
    and a collapse causes a warning once. ``stabilise=True`` is **our** remedy,
    not the paper's; report it with your results.

    Args:
        place (str): Maps to distil: ``'neck'``, ``'logits'`` (class maps
            before any resizing), ``'stages'`` (levels of the backbone), or
            ``'maps'``: class maps of a segmentor or neck levels of a
            detector. Defaults to ``'maps'``.
        student (str | list[str], optional): Taps (N, C, H, W) in the
            student, instead of the standard ones; maps of any kind, also in
            bird's-eye view. The class scores of a segmentation head are
            recognised; of other networks, ``place='logits'`` says that these
            are class maps. Defaults to None.
        teacher (str | list[str], optional): Taps (N, C', H', W') in the
            teacher. The student's map is resized to H' x W' before the
            difference is taken. Defaults to None.
        kwargs: The fields of :class:`ACAMOptions`, such as ``num_masks``,
            and the arguments of :class:`Distiller`, such as ``weights``.

    Raises:
        ConfigError: If an option is invalid, or contradicts another.
    """

    Options = ACAMOptions
    default_weights = dict(spatial=1.0, channel=1.0, div=1.0)
    trials = ({}, dict(place='stages'))

    def __init__(self,
                 place: Literal['maps', 'neck', 'logits', 'stages'] = 'maps',
                 student=None,
                 teacher=None,
                 **kwargs) -> None:
        check_choices('ACAM', ACAM, place=place)
        options = take_options(ACAMOptions, kwargs)
        # The place is the only role of this distiller.
        self.roles = (place, )
        super().__init__(student=student, teacher=teacher, **kwargs)
        used = dict(
            spatial=options.use_spatial,
            channel=options.use_channel,
            # Frozen units need no diversity term.
            div=options.mask_source != 'teacher_fixed')
        self.weights = {k: v for k, v in self.weights.items() if used[k]}
        self.place = place
        self.options = options
        self.warn_after = options.warn_after
        self._has_warned = False
        if options.detach_inputs:
            self.own_terms = ('div', )

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Build connectors, projections and selection units, level by level.
        """
        super().setup(student, teacher)
        levels_s, levels_t = student[self.place], teacher[self.place]
        check_features('ACAM', levels_s, levels_t, resize=True)
        are_logits = self.place == 'logits' or (self.place == 'maps' and all(
            spec.kind in _CLASS_MAPS for spec in [*levels_s, *levels_t]))
        connector = self.options.connector
        if are_logits:
            check_logits('ACAM', levels_s, levels_t)
            if connector not in ('auto', None):
                raise ConfigError('ACAM: class maps take no connector, which '
                                  'could mix the classes; leave it out')
            connector = None
        level_weights = self.options.level_weights
        if level_weights is None:
            level_weights = [1.0] * len(levels_s)
        if len(level_weights) != len(levels_s):
            raise ConfigError(
                f'ACAM: level_weights has {len(level_weights)} numbers, '
                f'but there are {len(levels_s)} levels')
        self.level_weights = level_weights
        self.figures = tuple(f'mask_{figure}_{i}'
                             for i in range(len(levels_s))
                             for figure in ('mean', 'std', 'dead'))
        self.connectors = build_connectors(connector, levels_s, levels_t)
        self.levels = nn.ModuleList(
            MaskLevel(
                spec_s.channels, spec_t.channels, self.options.num_masks or
                (spec_t.channels if are_logits else NUM_MASKS), self.options)
            for spec_s, spec_t in zip(levels_s, levels_t))

    def _align(self, level: int, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """The student's map on the teacher's channels and grid."""
        return match_size(self.connectors[level](feat_s), feat_t,
                          self.options.align_corners)

    @torch.no_grad()
    def masks(self, student: Dict[str, List[Tensor]],
              teacher: Dict[str, List[Tensor]]) -> List[Masks]:
        """Compute the masks of a batch, for visualization.

        Args:
            student (dict[str, list[Tensor]]): As in :meth:`losses`.
            teacher (dict[str, list[Tensor]]): As in :meth:`losses`.

        Returns:
            list[Masks]: One entry per level.
        """
        return [
            level(feat_s, feat_t, self._align(i, feat_s, feat_t))
            for i, (level, feat_s, feat_t) in enumerate(
                zip(self.levels, student[self.place], teacher[self.place]))
        ]

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """The spatial masks and the distance of the maps, level by level."""
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
        """Compute ``spatial``, ``channel`` and ``div``, each
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
            if 'div' in batch.active_terms:
                for kind in kinds:
                    add('div', mask_diversity(kind,
                                              self.options.div_reduction),
                        weight)
            if self.options.mask_grad == 'div_only':
                masks = Masks(*(kind if kind is None else kind.detach()
                                for kind in masks))
            if 'spatial' in batch.active_terms:
                add('spatial', spatial_mask_loss(aligned, feat_t,
                                                 masks.spatial), weight)
            if 'channel' in batch.active_terms:
                add('channel', channel_mask_loss(aligned, feat_t,
                                                 masks.channel), weight)
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
        """Warn once that the masks no longer select anything."""
        since = iteration - self.warn_after
        # Rarely, since reading the statistics waits for the GPU.
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
