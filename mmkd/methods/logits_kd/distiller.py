"""Distillation of class scores, cell by cell."""
from typing import Callable, Dict, List, Literal, Optional, Union

import torch
from torch import Tensor, nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.heads import match_heads
from mmkd.core.logits import check_logits, check_tau
from mmkd.core.schedule import WeightLike
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual, distances, logits_distance
from mmkd.errors import ConfigError
from mmkd.families.dense_heads import KINDS
from mmkd.methods.logits_kd.losses import DIVERGENCES, class_score_losses
from mmkd.methods.logits_kd.options import (build_aux_head, check_options,
                                            read_divergence, read_share,
                                            share_at)
from mmkd.methods.logits_kd.places import PLACES, Pairs, Rules, pixel_levels
from mmkd.methods.logits_kd.weights import build_cell_weights
from mmkd.ops.connectors import match_size
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices


@DISTILLERS.register_module()
class LogitsKD(Distiller):
    """Match the class scores of each cell.

    By default, `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_ by Hinton et al., applied to every
    cell of segmentation logits. This is the pixel-wise term of `Structured
    Knowledge Distillation for Semantic Segmentation
    <https://arxiv.org/abs/1903.04197>`_. See
    :func:`kl_divergence`. It is the baseline for methods on logits.

    The divergence is summed over classes; some published code averages over
    them. The weight depends on the task and is not taken from a paper.

    Other divergences are equal to the published ones in formula. Most have
    been published for classification only.

    Args:
        place (str): Where class scores are read:

            - ``'logits'``: of a segmentation head;
            - ``'dense_logits'``: of a dense detection head, one map
              (N, A * C, H, W) a level;
            - ``'roi_logits'``: of the RoI head of Faster or Mask R-CNN, of
              both networks for the boxes on which the student's trains; the
              background is a class like the others. A teacher may also be a
              Cascade R-CNN, whose first stage is read;
            - ``'class_maps'``: of a ``CenterHead``, the heatmaps of all tasks
              as one map, or of an ``Anchor3DHead``, one map a level.

            Dense and 3D heads have sigmoids. There, ``'dist'`` (of sigmoids
            then), ``'binary'`` and ``'binary_norm'`` compare all cells, the
            others only anchors, points and centres that the student's head
            assigns to objects, which need their boxes. Defaults to
            ``'logits'``; in a config, for detectors of two stages, to
            ``'roi_logits'``.
        student (str | list[str], optional): Taps of the student's logits;
            levels are summed. Defaults to None: ``place``.
        teacher (str | list[str], optional): Taps of the teacher's logits
            (N, C, H', W'), resized bilinearly to the student's size if they
            differ; for ``'roi_logits'``, of its neck. Defaults to None.
        divergence (str | dict): One of ``'kl'``; ``'dist'``, with the terms
            ``inter`` and ``intra``; ``'dkd'`` and ``'nkd'``, with the terms
            ``target`` and ``non_target``, which need labels and leave out
            cells without one; ``'binary'``, for sigmoid heads, and
            ``'binary_norm'``, its form of Dual-Head KD; ``'pld'``, which
            needs labels too and replaces the cross entropy of the task;
            ``'sinkhorn'`` and ``'balanced'``, which are experimental. Others
            than those named have one term, ``loss``. A dict changes options:
            ``dict(type='sinkhorn', eps=0.1, rounds=20)``,
            ``dict(type='balanced', nu=2.0)``, or ``dict(type='dist',
            anchors=9)`` to correlate within the classes of each anchor of a
            dense head in place of all its channels. Defaults to ``'kl'``.
        tau (float, optional): Temperature. Defaults to None: 2.0 for
            ``'binary'``, ``'binary_norm'`` and ``'sinkhorn'``, 1.0 otherwise.
        standardise (bool): Whether to standardise the logits of each cell
            over its classes first (`<https://arxiv.org/abs/2403.01427>`_).
            Defaults to False.
        teacher_share (float | dict): Share of the teacher's logits in the
            target, 0 to 1, or the arguments of :class:`WeightSchedule`; the
            rest is the student's own logits, without gradient
            (`TAID <https://arxiv.org/abs/2501.16937>`_). Defaults to 1.0.
        aux_head (bool): Whether a second classifier of the student, one
            convolution on the input of its own, gets the loss in its place
            (`Dual-Head KD <https://arxiv.org/abs/2411.08937>`_). It is not
            part of the exported student. For ``'logits'`` and
            ``'dense_logits'``. Defaults to False.
        reduction (str, optional): ``'image'``, the mean over the cells of each
            image, then over the images; ``'row'``, the mean over all cells;
            or ``'avg_factor'``, the sum divided by the number of positives of
            a dense or 3D head. Defaults to None: ``'image'``, except
            ``'row'`` for boxes and ``'avg_factor'`` where an assignment is
            read.
        cell_weights (dict | Callable, optional): What weighs images or cells:
            a class of the registry ``TASK_UTILS``, such as
            :class:`InfluenceWeights`, or a callable. It maps the batch, the
            student's and the teacher's scores, (N, C, H, W) or (R, C) for
            boxes, to (N, ) for images, or to (N, 1, H, W) or (R, 1). Defaults
            to None.
        valid_only (bool): Whether to exclude cells with most of their pixels
            ignored, which needs label maps; or, of a dense head, anchors that
            its class loss leaves out. Defaults to False.
        foreground_only (bool): Whether to exclude boxes, anchors and points of
            the background where they are compared. Defaults to False.
        ignore_index (int): Label of pixels to ignore. Defaults to 255.
        align_corners (bool): For resizing, as in the student's head. Defaults
            to False.
        kwargs: Arguments of :class:`Distiller`, such as ``loss_weight``, and
            ``weights`` of the terms.

    Raises:
        ConfigError: If an argument is invalid, or the divergence tells
            nothing about so few classes.
    """
    two_stage_options = dict(place='roi_logits')
    trials = ({}, dict(place='dense_logits', divergence='dist'),
              dict(place='class_maps', divergence='binary'))

    def __init__(self,
                 place: Literal['logits', 'dense_logits', 'roi_logits',
                                'class_maps'] = 'logits',
                 student=None,
                 teacher=None,
                 divergence: Union[str, dict] = 'kl',
                 tau: Optional[float] = None,
                 standardise: bool = False,
                 teacher_share: WeightLike = 1.0,
                 aux_head: bool = False,
                 reduction: Optional[Literal['image', 'row',
                                             'avg_factor']] = None,
                 cell_weights: Union[dict, Callable, None] = None,
                 valid_only: bool = False,
                 foreground_only: bool = False,
                 ignore_index: int = 255,
                 align_corners: bool = False,
                 **kwargs) -> None:
        check_choices('LogitsKD', LogitsKD, place=place, reduction=reduction)
        divergence, self.options = read_divergence(divergence)
        chosen, where = DIVERGENCES[divergence], PLACES[place]
        check_options(
            place,
            chosen,
            reduction=reduction,
            cell_weights=cell_weights,
            aux_head=aux_head,
            valid_only=valid_only,
            foreground_only=foreground_only)
        if where.sigmoids and divergence == 'dist':
            self.options['sigmoid'] = True
        assigned = where.sigmoids and (valid_only or foreground_only
                                       or reduction == 'avg_factor'
                                       or not chosen.for_sigmoids)
        if assigned and 'anchors' in self.options:
            raise ConfigError(
                'LogitsKD: foreground_only and valid_only take each anchor '
                f"as a cell; leave out anchors of {divergence!r}")
        self.role = where.features if aux_head else place
        self.teacher_role = where.teacher or place
        self.roles, self.teacher_roles = (self.role, ), (self.teacher_role, )
        self.default_weights = chosen.weights
        super().__init__(student=student, teacher=teacher, **kwargs)
        self.place, self.divergence = place, divergence
        self.tau = chosen.tau if tau is None else tau
        check_tau('LogitsKD', tau=self.tau)
        self.needs_rois = place == 'roi_logits'
        self.needs_head = place == 'class_maps'
        self.dense_heads = tuple(
            x.name
            for x in KINDS) if (assigned and place == 'dense_logits') else ()
        self.needs_labels = (
            chosen.needs_labels or valid_only or assigned or self.needs_rois)
        self.rules = Rules(
            chosen.needs_labels, assigned, valid_only, foreground_only
            or where.sigmoids and not chosen.for_sigmoids, ignore_index,
            build_cell_weights(cell_weights))
        self.reduction = reduction or ('avg_factor'
                                       if assigned else where.reductions[0])
        self.standardise = standardise
        self.teacher_share = read_share(teacher_share)
        self.aux_head: Optional[nn.Module] = None
        self.has_aux_head = aux_head
        self.align_corners = align_corners

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Check that both sides have the same classes; build the second
        classifier."""
        super().setup(student, teacher)
        own, theirs = student[self.role], teacher[self.teacher_role]
        self._teacher = theirs[0].network or ''
        counts = [spec.channels for spec in own]
        if self.has_aux_head:
            counts = [spec.channels for spec in theirs]
            self.aux_head = build_aux_head(own, theirs,
                                           PLACES[self.place].kernel)
        elif not self.needs_rois:  # their heads have the same classes
            check_logits('LogitsKD', own, theirs)
        if self.needs_head:
            branches, self._order = match_heads('LogitsKD', own, theirs)
            self._joined = all(x.name == 'heatmap' for x in branches)
            counts = [sum(counts)] if self._joined else counts
        if not self.rules.assigned:
            for count in set(counts):
                self._check_classes(count, f'{own[0].path!r}')

    def _check_classes(self, count: int, where: str) -> None:
        """Check that the options make sense for the number of classes."""
        classes = f'{where} has {count} class(es)'
        if count < DIVERGENCES[self.divergence].min_classes:
            raise ConfigError(
                f'LogitsKD: {classes}, whose softmax is always 1; set '
                "divergence='binary'")
        anchors = self.options.get('anchors', 1)
        if not isinstance(anchors, int) or count % anchors:
            raise ConfigError(
                f'LogitsKD: {where} has {count} channels, which are not '
                f'those of {anchors} anchors')
        if count == 2 and self.standardise:
            raise ConfigError(
                f'LogitsKD: {classes}, and two standardised logits differ in '
                'their sign only; set standardise=False')
        if count // anchors <= 2 and 'inter' in self.peak_weights():
            raise ConfigError(
                f'LogitsKD: {classes}, and the correlation of two '
                'probabilities is always 1 or -1; set weights=dict(inter=0)')

    def _pairs(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]], batch: StepBatch) -> Pairs:
        """Class scores of both sides, level by level, of equal sizes."""
        own, theirs = student[self.role], teacher[self.teacher_role]
        if self.needs_rois:
            found = batch.roi_features(self._teacher, theirs)
            return [(own[0], found.logits)]
        if self.aux_head is not None:
            own = [self.aux_head(x) for x in own]
        if self.needs_head:
            theirs = [theirs[i] for i in self._order]
            if self._joined:
                own, theirs = [torch.cat(own, 1)], [torch.cat(theirs, 1)]
        return [(logits_s, match_size(logits_t, logits_s, self.align_corners))
                for logits_s, logits_t in zip(own, theirs)]

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """The KL divergence of each cell, or the distance of sigmoids; nothing
        of boxes."""
        if self.needs_rois:
            return []
        pairs = self._pairs(student, teacher, batch)
        if PLACES[self.place].sigmoids:
            return distances([x.float().sigmoid() for x, _ in pairs],
                             [x.float().sigmoid() for _, x in pairs],
                             'distance of the class scores')
        return [
            Heatmap(
                'divergence over the classes',
                logits_distance(level.logits_s, level.logits_t, self.tau,
                                level.valid),
                f'level {i}',
                changes=True)
            for i, level in enumerate(pixel_levels(self.rules, pairs, batch))
        ]

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute the terms of the divergence, summed over the levels."""
        pairs = self._pairs(student, teacher, batch)
        share = share_at(self.teacher_share, batch.progress)
        levels = []
        for level in PLACES[self.place].levels(self.rules, pairs, batch):
            if self.rules.assigned:
                self._check_classes(
                    level.logits_s.size(1), "the student's head")
            levels.append(
                class_score_losses(
                    self.divergence,
                    level.logits_s,
                    level.logits_t,
                    self.tau,
                    level.valid,
                    level.classes,
                    self.standardise,
                    level.weights,
                    level.divisor(self.reduction),
                    teacher_share=share,
                    **self.options))
        return {term: sum(x[term] for x in levels) for term in self.weights}
