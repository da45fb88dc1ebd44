"""CrossKD: the student's features through the teacher's head."""
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.features import build_connectors, check_features
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual
from mmkd.errors import ConfigError
from mmkd.families.dense_heads import (DenseHead, DenseOutputs, DenseTargets,
                                       GFLHeads, rows)
from mmkd.methods.crosskd.losses import (box_distance, class_distance,
                                         distribution_loss, edge_divergence,
                                         transfer_statistics)
from mmkd.ops.precision import upcast
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import fill_from_preset

#: Published convolutions and weights by the kind of head.
PRESETS: Dict[str, Dict[str, Any]] = dict(
    retinanet=dict(student_convs=3, weights=dict(cls=1.0, box=1.0)),
    atss=dict(student_convs=3, weights=dict(cls=1.0, box=1.0, centerness=1.0)),
    gfl=dict(student_convs=3, weights=dict(cls=1.0, box=4.0)),
    fcos=dict(student_convs=2, weights=dict(cls=0.4, box=0.75)))


class _Cross(NamedTuple):
    """Outputs of the teacher's head, and what weighs them."""
    head: DenseHead
    cross: DenseOutputs
    teacher: DenseOutputs
    targets: DenseTargets


@DISTILLERS.register_module()
class CrossKD(Distiller):
    r"""Send the student's head features through the teacher's head.

    `CrossKD: Cross-Head Knowledge Distillation for Object Detection
    <https://arxiv.org/abs/2306.11369>`_ (CVPR 2024), for RetinaNet, ATSS, GFL
    and FCOS. After some convolutions of each branch, the student's features
    get the statistics of the teacher's (:func:`transfer_statistics`) and
    continue in the frozen head of the teacher. The result, the cross
    prediction, imitates the teacher's prediction, while the student's own
    prediction sees the labels only. Terms, summed over the levels:

    - ``cls``: :func:`class_distance` of all rows that the student's class
      loss counts, divided as there;
    - ``box``: weighted by the teacher's confidence, :func:`edge_divergence`
      for GFL, divided by the sum of the confidences of this process, and
      :func:`box_distance` otherwise, divided as ``cls``;
    - ``centerness`` (ATSS): binary cross entropy at the positives.

    FCOS divides both terms by the sum of the centreness of the positives,
    which is almost 0 without any; see ``min_factor``. Nothing is kept after
    training.

    Args:
        student (list, optional): Taps in the student. Defaults to None: what
            ``student_convs`` says.
        teacher (list, optional): The same in the teacher. Defaults to None.
        preset (str): Selects the published defaults of ``student_convs`` and
            the weights: ``'retinanet'``, ``'atss'``, ``'gfl'`` or ``'fcos'``.
            Defaults to ``'retinanet'``; in a config, to that of the student.
        student_convs (int, optional): Convolutions of each branch that are
            the student's, 0 to 4; the others are the teacher's. 0 takes the
            levels of the neck. Defaults to None: of the preset; in a config,
            at most all but one of the head.
        beta (float): Power in ``cls``, 0 or at least 1. Defaults to 1.0.
        min_std (float): Channels of the student whose deviation is at most
            this get no gradient; 0 is the released behaviour. Defaults to
            1e-6.
        min_factor (float): Smallest divisor of FCOS; 1e-6 is the released
            behaviour. Defaults to 1.0.
        connector (str | dict | None): Applied to the student's features.
            None, as published, needs as many channels on both sides;
            ``'auto'`` is a 1x1 convolution where they differ. Defaults to
            None.
        kwargs: Arguments of :class:`Distiller`, such as ``weights``.

    Raises:
        ConfigError: If an argument is invalid.
    """
    dense_heads = tuple(PRESETS)
    needs_labels = True
    trials = ({}, dict(connector='auto'))

    def __init__(self,
                 student=None,
                 teacher=None,
                 preset: str = 'retinanet',
                 student_convs: Optional[int] = None,
                 beta: float = 1.0,
                 min_std: float = 1e-6,
                 min_factor: float = 1.0,
                 connector: Union[str, dict, None] = None,
                 **kwargs) -> None:
        count = fill_from_preset(
            'CrossKD', PRESETS, preset,
            student_convs=student_convs)['student_convs']
        if count not in range(5):
            raise ConfigError('CrossKD: student_convs is 0 to 4, but got '
                              f'{count!r}')
        for name, value in dict(
                beta=beta, min_std=min_std, min_factor=min_factor).items():
            if not isinstance(value, (int, float)) or not value >= 0:
                raise ConfigError(f'CrossKD: {name} is a number of at least '
                                  f'0, but got {value!r}')
        if 0 < beta < 1:
            raise ConfigError(
                'CrossKD: beta is 0 or at least 1, since between them the '
                f'gradient at equal scores is not finite, but got {beta!r}')
        self.default_weights = PRESETS[preset]['weights']
        self.place = f'dense_features_{count}' if count else 'neck'
        # The place is the only role of this distiller.
        self.roles = (self.place, )
        super().__init__(student=student, teacher=teacher, **kwargs)
        self.student_convs = count
        self.beta = beta
        self.min_std = min_std
        self.min_factor = min_factor
        self.connector_cfg = connector

    @classmethod
    def settled_options(
            cls, student: Mapping[str, Any],
            teachers: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
        """The preset of the student's head, and as many convolutions as it
        has."""
        preset = student.get('dense_head')
        if preset is None:
            return {}
        convs = [student['head_convs']]
        convs += [
            x['head_convs'] for x in teachers.values() if x.get('dense_head')
        ]
        return dict(
            preset=preset,
            student_convs=max(
                0, min(PRESETS[preset]['student_convs'],
                       min(convs) - 1)))

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Check the features of both sides, and build the connectors."""
        super().setup(student, teacher)
        levels_s, levels_t = student[self.place], teacher[self.place]
        check_features('CrossKD', levels_s, levels_t, resize=False)
        for spec_s, spec_t in zip(levels_s, levels_t):
            if spec_s.branch != spec_t.branch or (self.student_convs
                                                  and not spec_s.branch):
                raise ConfigError(
                    f'CrossKD: {spec_s.path!r} of the student and '
                    f'{spec_t.path!r} of the teacher are not the features of '
                    'one branch; leave the taps out')
            if (self.connector_cfg is None
                    and spec_s.channels != spec_t.channels):
                raise ConfigError(
                    'CrossKD: the features of the student have '
                    f'{spec_s.channels} channels ({spec_s.path}), but the '
                    f"teacher's head takes {spec_t.channels}; set "
                    "connector='auto'")
        self.teacher_name = levels_t[0].network
        self.connectors = build_connectors(self.connector_cfg, levels_s,
                                           levels_t)

    def _pairs(self, features: List[Tensor]) -> List[tuple]:
        """Features of the class and of the box branch, level by level."""
        if not self.student_convs:
            return [(x, x) for x in features]
        half = len(features) // 2
        return list(zip(features[:half], features[half:]))

    def _predict(self, student: Dict[str, List[Tensor]],
                 teacher: Dict[str, List[Tensor]], batch: StepBatch) -> _Cross:
        """Run the teacher's head on the features of both sides."""
        head = batch.dense_head(self.teacher_name)
        features_s, features_t = student[self.place], teacher[self.place]
        targets = batch.dense_targets([x for x, _ in self._pairs(features_s)])
        moved = [
            transfer_statistics(connector(feat_s), feat_t, self.min_std)
            for connector, feat_s, feat_t in zip(self.connectors, features_s,
                                                 features_t)
        ]
        with torch.no_grad():
            own = head.tail(self.student_convs, self._pairs(features_t))
        cross = head.tail(self.student_convs, self._pairs(moved))
        return _Cross(head, DenseOutputs(*map(upcast, cross)),
                      DenseOutputs(*map(upcast, own)), targets)

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Confidence of the teacher, which weighs the boxes, and the distance
        of the classes, level by level."""
        found = self._predict(student, teacher, batch)
        visuals: List[Visual] = []
        for i, (cls_x,
                cls_t) in enumerate(zip(found.cross.cls, found.teacher.cls)):
            size = len(cls_t), *cls_t.shape[2:], -1
            classes = found.head.num_classes
            logits_x, logits_t = rows(cls_x, classes), rows(cls_t, classes)
            distance = class_distance(logits_x, logits_t, self.beta)
            visuals += [
                Heatmap(
                    'confidence of the teacher',
                    logits_t.float().sigmoid().amax(1).view(size).amax(-1),
                    f'level {i}',
                    limits=(0., 1.)),
                Heatmap(
                    'distance of the classes',
                    distance.sum(1).view(size).sum(-1),
                    f'level {i}',
                    changes=True)
            ]
        return visuals

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute the terms, each summed over the levels."""
        found = self._predict(student, teacher, batch)
        factor = batch.dense_head().avg_factor(found.targets)
        if found.head.name == 'fcos':
            factor = factor.clamp(min=self.min_factor)
        active = batch.active_terms
        terms = {}
        if 'cls' in active:
            terms['cls'] = self._classes(found) / factor
        if 'box' in active:
            terms['box'] = self._boxes(found, factor)
        if 'centerness' in active:
            terms['centerness'] = self._centerness(found) / factor
        return terms

    def _classes(self, found: _Cross) -> Tensor:
        """Weighted sum over all rows and classes."""
        classes = found.head.num_classes
        return sum(
            (class_distance(
                rows(cls_x, classes), rows(cls_t, classes), self.beta).sum(1) *
             weights).sum()
            for cls_x, cls_t, weights in zip(found.cross.cls, found.teacher.
                                             cls, found.targets.label_weights))

    def _boxes(self, found: _Cross, factor: Tensor) -> Tensor:
        """Mean distance of the boxes, weighted by the teacher's confidence."""
        head, size = found.head, found.head.box_size
        confidences = [
            rows(cls_t, head.num_classes).sigmoid().amax(1) * (weights > 0)
            for cls_t, weights in zip(found.teacher.cls,
                                      found.targets.label_weights)
        ]
        distances = []
        for level, (box_x, box_t) in enumerate(
                zip(found.cross.box, found.teacher.box)):
            codes = rows(box_x, size), rows(box_t, size)
            if isinstance(head, GFLHeads):
                distances.append(edge_divergence(*codes, head.bins))
                continue
            priors = found.targets.priors[level].repeat(len(box_x), 1)
            distances.append(
                box_distance(
                    *(head.boxes(level, priors, x) for x in codes),
                    log_iou=head.name == 'fcos'))
        if isinstance(head, GFLHeads):
            # Of this process alone, as published.
            return distribution_loss(distances, confidences)
        return sum(
            (x * w).sum() for x, w in zip(distances, confidences)) / factor

    def _centerness(self, found: _Cross) -> Tensor:
        """Sum over the positives."""
        return sum(
            (F.binary_cross_entropy_with_logits(
                rows(x, 1).flatten(),
                rows(t, 1).flatten().sigmoid(),
                reduction='none') * positives).sum()
            for x, t, positives in zip(found.cross.centerness, found.teacher.
                                       centerness, found.targets.positives))
