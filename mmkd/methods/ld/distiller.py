"""LD: distributions of box edges, where they tell something."""
from itertools import zip_longest
from typing import Dict, Iterator, List, Literal, NamedTuple, Optional

import torch
from torch import Tensor

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.features import check_features
from mmkd.core.logits import check_logits, check_tau
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual
from mmkd.errors import ConfigError
from mmkd.families.dense_heads import DenseTargets, rows
from mmkd.methods.ld.losses import (imitated_cells, imitation_loss,
                                    mean_divergence, valuable_region)
from mmkd.ops.masks import masked_rows
from mmkd.ops.processes import all_reduce_mean
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices


class Level(NamedTuple):
    """Rows of a level of both sides, with their weights.

    Attributes:
        cls_s, cls_t (Tensor): Class logits (n, K).
        box_s, box_t (Tensor): Logits of the bins (n, 4 * bins).
        main (Tensor): The student's score at positives, else 0, (n, ).
        region (Tensor): Weight in the valuable region (n, ).
        positives (Tensor): (n, ), bool.
        label_weights (Tensor): (n, ).
    """
    cls_s: Tensor
    cls_t: Tensor
    box_s: Tensor
    box_t: Tensor
    main: Tensor
    region: Tensor
    positives: Tensor
    label_weights: Tensor


@DISTILLERS.register_module()
class LD(Distiller):
    """Distil the distributions of box edges of GFL.

    `Localization Distillation for Dense Object Detection
    <https://arxiv.org/abs/2102.12252>`_ (CVPR 2022) and its journal form
    `<https://arxiv.org/abs/2204.05957>`_. Three terms with
    :func:`mean_divergence`, summed over the levels:

    - ``main``: distributions of the four edges at the positives of the
      student's assignment, weighted by the student's own score and divided by
      4;
    - ``region``: the same in the valuable localization region, with the
      weights of :func:`valuable_region`, divided by 16;
    - ``classes``: class logits at the positives, by a softmax over the
      classes although they are sigmoids, divided by the positives of the
      level;
    - ``imitation``, if there is a region for it: :func:`imitation_loss` of
      the neck, for levels with positives.

    ``main`` and ``region`` are sums over the batch: they grow with the number
    of images per GPU, which the authors keep at 2 or 3; see ``normalise``.

    Args:
        student (dict, optional): Taps of ``dense_logits`` (class logits) and
            ``dense_boxes`` (logits of the bins) in the student. Defaults to
            None: those of its head.
        teacher (dict, optional): The same in the teacher. Defaults to None.
        tau (float): Temperature of ``main`` and ``region``. Defaults to 10.0.
        class_tau (float): Temperature of ``classes``. Defaults to 2.0.
        lower (float): Lower end of the region, as a share of the threshold of
            an object. Defaults to 0.25.
        topk (int): Candidates of an object in each level. Defaults to 9.
        diou (str): ``'paper'``, or ``'released'`` for what the released code
            computes in its place, from which the published figures are.
            Defaults to ``'paper'``.
        normalise (bool): Whether to divide ``main`` and ``region`` by the
            sum of the scores at the positives, averaged over the processes.
            The published weights do not fit this. Defaults to False.
        imitation (str, optional): Where features of the neck are imitated,
            ``'finegrained'`` or ``'fitnet'``; see :func:`imitated_cells`. The
            necks need equal channels. The weight is 2. Defaults to None:
            nowhere.
        kwargs: Arguments of :class:`Distiller`, such as ``weights``. mmdet's
            ``LDHead`` has the main term alone: ``weights=dict(region=0,
            classes=0)``.

    Raises:
        ConfigError: If an argument is invalid.
    """
    roles = ('dense_logits', 'dense_boxes')
    dense_heads = ('gfl', )
    needs_labels = True
    default_weights = dict(main=0.25, region=0.25, classes=10.0)

    def __init__(self,
                 student=None,
                 teacher=None,
                 tau: float = 10.0,
                 class_tau: float = 2.0,
                 lower: float = 0.25,
                 topk: int = 9,
                 diou: Literal['paper', 'released'] = 'paper',
                 normalise: bool = False,
                 imitation: Optional[Literal['finegrained', 'fitnet']] = None,
                 **kwargs) -> None:
        check_choices('LD', LD, diou=diou, imitation=imitation)
        if imitation:
            self.roles = (*LD.roles, 'neck')
            self.default_weights = dict(LD.default_weights, imitation=2.0)
        super().__init__(student=student, teacher=teacher, **kwargs)
        check_tau('LD', tau=tau, class_tau=class_tau)
        if not isinstance(lower, (int, float)) or not 0 <= lower <= 1:
            raise ConfigError(f'LD: lower is 0 to 1, but got {lower!r}')
        if not isinstance(topk, int) or topk < 1:
            raise ConfigError(f'LD: topk is a number of anchors, but got '
                              f'{topk!r}')
        self.tau = tau
        self.class_tau = class_tau
        self.lower = lower
        self.topk = topk
        self.diou = diou
        self.normalise = normalise
        self.imitation = imitation

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Check that both heads give the same classes and bins."""
        super().setup(student, teacher)
        for role in LD.roles:
            check_logits('LD', student[role], teacher[role])
        if not self.imitation:
            return
        check_features('LD', student['neck'], teacher['neck'], resize=False)
        for own, theirs, scores in zip_longest(student['neck'],
                                               teacher['neck'],
                                               student['dense_logits']):
            if not scores or not own or own.channels != theirs.channels:
                raise ConfigError(
                    'LD: imitation compares the levels of both necks that the '
                    'heads read, with as many channels; leave the taps out, '
                    'and take a neck like that of the teacher')

    def _regions(self, targets: DenseTargets,
                 batch: StepBatch) -> List[Tensor]:
        """Weights (N, n) of the valuable region in each level."""
        sizes = [len(x) for x in targets.priors]
        inside = torch.cat([
            x.view(-1, size) > 0
            for x, size in zip(targets.label_weights, sizes)
        ], 1)
        weights = torch.stack([
            valuable_region(targets.priors, own, image.boxes, self.lower,
                            self.topk, self.diou == 'released')
            for own, image in zip(inside, batch.instances)
        ])
        return list(weights.split(sizes, dim=1))

    def _levels(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str, List[Tensor]],
                batch: StepBatch) -> Iterator[Level]:
        """Rows of both sides, level by level."""
        head = batch.dense_head()
        targets = batch.dense_targets(student['dense_logits'])
        regions = self._regions(targets, batch)
        for i, region in enumerate(regions):
            (cls_s, cls_t), (box_s, box_t) = ([
                rows(side[role][i], size) for side in (student, teacher)
            ] for role, size in zip(LD.roles, (head.num_classes,
                                               head.box_size)))
            positives = targets.positives[i]
            score = cls_s.detach().float().sigmoid().amax(1)
            yield Level(cls_s, cls_t, box_s, box_t, score * positives,
                        region.flatten(), positives, targets.label_weights[i])

    def _edges(self, box_s: Tensor, box_t: Tensor) -> Tensor:
        """Divergence of each row, the sum over the edges."""
        edges = (4, -1)
        return mean_divergence(
            box_s.unflatten(1, edges), box_t.unflatten(1, edges),
            self.tau).sum(1)

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Weights of the main and of the valuable region, and the divergence
        of the edges, level by level."""
        visuals: List[Visual] = []
        levels = self._levels(student, teacher, batch)
        for i, (level, maps) in enumerate(zip(levels, student[self.roles[0]])):
            size = len(maps), *maps.shape[2:]
            edges = self._edges(level.box_s, level.box_t)
            visuals += [
                Heatmap(
                    name, values.view(size), f'level {i}', changes=changes)
                for name, values, changes in (('main region', level.main,
                                               True), ('valuable region',
                                                       level.region, False),
                                              ('divergence of the edges',
                                               edges, True))
            ]
        return visuals

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute the terms, each summed over the levels."""
        terms: Dict[str, List[Tensor]] = {
            term: []
            for term in LD.default_weights if term in batch.active_terms
        }
        scores: List[Tensor] = []
        for level in self._levels(student, teacher, batch):
            scores.append(level.main.sum())
            for term, value in self.level_losses(level).items():
                if term in terms:
                    terms[term].append(value)
        found = {term: sum(values) for term, values in terms.items()}
        if 'imitation' in batch.active_terms:
            found['imitation'] = self._imitation(student, teacher, batch)
        if self.normalise:
            total = all_reduce_mean(torch.stack(scores).sum()).clamp(min=1e-6)
            for term in {'main', 'region'} & set(found):
                found[term] = found[term] / total
        return found

    def _imitation(self, student: Dict[str, List[Tensor]],
                   teacher: Dict[str,
                                 List[Tensor]], batch: StepBatch) -> Tensor:
        """The distance of the necks in the cells to imitate."""
        targets = batch.dense_targets(student['dense_logits'])
        cells = torch.stack([
            imitated_cells(targets.priors, image.boxes, self.imitation)
            for image in batch.instances
        ]).split([len(x) for x in targets.priors], dim=1)
        return sum(
            imitation_loss(feat_s, feat_t, own & positives.any())
            for feat_s, feat_t, own, positives in zip(
                student['neck'], teacher['neck'], cells, targets.positives))

    def level_losses(self, level: Level) -> Dict[str, Tensor]:
        """The terms of a level, without their weights."""
        used = level.positives | (level.region > 0)
        edges = self._edges(
            masked_rows(level.box_s, used), masked_rows(level.box_t, used))
        main, region = (
            masked_rows(weights[:, None], used)[:, 0]
            for weights in (level.main, level.region))
        classes = mean_divergence(
            masked_rows(level.cls_s, level.positives),
            masked_rows(level.cls_t, level.positives), self.class_tau)
        weights = masked_rows(level.label_weights[:, None], level.positives)
        count = level.positives.sum().clamp(min=1)
        return dict(
            main=(main * edges).sum() / 4,
            region=(region * edges).sum() / 16,
            classes=(weights[:, 0] * classes).sum() / count)
