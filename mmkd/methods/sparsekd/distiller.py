"""SparseKD: pivotal positions and the teacher's boxes as labels."""
from typing import Any, Dict, List, Literal, NamedTuple, Sequence, Union

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.heads import match_heads
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual
from mmkd.errors import ConfigError
from mmkd.families.detection_heads import (DetectionHead, HeadMaps, TaskMaps,
                                           TaskTargets)
from mmkd.families.objects_3d import join_objects, kept_objects, true_objects
from mmkd.methods.sparsekd.losses import anchor_code_loss
from mmkd.ops.constants import constant
from mmkd.ops.detection_heads import (code_loss, masked_score_loss,
                                      pivotal_mask, resized_scores)
from mmkd.ops.masks import zero_like_graph
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices

#: Scores lie in [EPS, 1 - EPS], as in CenterPoint's loss.
EPS = 1e-4


class _Heads(NamedTuple):
    """Outputs of both heads, and the head whose grid the teacher's have."""
    own: DetectionHead
    of_teacher: DetectionHead
    outputs_s: HeadMaps
    outputs_t: HeadMaps


@DISTILLERS.register_module()
class SparseKD(Distiller):
    r"""Follow the teacher's head where objects are, and learn its boxes.

    `Towards Efficient 3D Object Detection with Knowledge Distillation
    <https://arxiv.org/abs/2205.15156>`_ (Yang et al., NeurIPS 2022), between
    two LiDAR detectors with heads of one kind (mmdet3d's ``CenterHead`` or
    ``Anchor3DHead``). The student has fewer channels, or larger pillars or
    voxels. Nothing but the student is trained.

    - ``cls``: squared distance of class scores at pivotal positions
      (:func:`masked_score_loss`). The weight of a cell is the ground-truth
      heatmap, or 1 in the cell of a positive anchor, times the teacher's
      score. A student with a coarser grid is resized to the teacher's.
    - ``reg``: distance of box codes at the objects' centres or anchors
      (:func:`code_loss`, :func:`anchor_code_loss`); 0 if the grids differ.
    - ``label``: the teacher's confident boxes become labels of the
      student's own loss.

    ``cls`` and ``reg`` are means over the tasks of a ``CenterHead``, or over
    the levels of an ``Anchor3DHead``. The method's third part, the student's
    initialisation from the teacher's weights, is
    :class:`~mmkd.engine.hooks.InheritTeacherHook` with ``narrow=True``.

    Args:
        student (list, optional): Taps of the outputs of the student's head.
            Defaults to None: its last convolutions.
        teacher (list, optional): The same in the teacher. Defaults to None.
        soft (bool): Whether cells are weighted by heatmap and score, instead
            of all alike. Defaults to True.
        score_thr (float): Score of the teacher that a pivotal position
            exceeds. Defaults to 0.
        label_score (float | Sequence[float]): Score that a box of the
            teacher exceeds to become a label, one or one for each class.
            Defaults to 0.6.
        label_nms (bool): Whether overlapping boxes of a ``CenterHead`` are
            suppressed first. Without, as released, neighbouring peaks of an
            object are labels, too. Those of an ``Anchor3DHead`` always are.
            Defaults to False.
        labels (str): ``'replace'``: ``label`` is the difference between the
            head's loss with and without the teacher's boxes. At a weight of 1
            it and the student's own loss add up to the loss with both, as
            published. It may be negative. ``'add'``: ``label`` is a second
            loss, with both. Defaults to ``'replace'``.
        kwargs: Arguments of :class:`Distiller`. Defaults of ``weights`` are
            10 for ``cls``, 0.2 for ``reg`` and 1 for ``label``; the authors
            recommend 15 for ``cls`` of an ``Anchor3DHead``.

    Raises:
        ConfigError: If an option is invalid, or the heads do not match.
    """
    roles = ('head_maps', )
    needs_head = needs_labels = True
    default_weights = dict(cls=10., reg=.2, label=1.)

    def __init__(self,
                 student=None,
                 teacher=None,
                 soft: bool = True,
                 score_thr: float = 0.,
                 label_score: Union[float, Sequence[float]] = 0.6,
                 label_nms: bool = False,
                 labels: Literal['replace', 'add'] = 'replace',
                 **kwargs: Any) -> None:
        check_choices('SparseKD', SparseKD, labels=labels)
        super().__init__(student=student, teacher=teacher, **kwargs)
        scores = [label_score] if isinstance(label_score,
                                             (int, float)) else label_score
        for name, value in [('score_thr', score_thr),
                            *(('label_score', x) for x in scores)]:
            if not 0 <= value <= 1:
                raise ConfigError(f'SparseKD: {name} must be from 0 to 1, but '
                                  f'is {value}')
        self.soft, self.score_thr = soft, score_thr
        self.label_scores = list(scores)
        self.label_nms, self.replace = label_nms, labels == 'replace'

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Match the outputs of both heads."""
        super().setup(student, teacher)
        specs_s, specs_t = student['head_maps'], teacher['head_maps']
        self._branches, self._order_t = match_heads(
            'SparseKD', specs_s, specs_t, same_size=False)
        self._teacher = specs_t[0].network or ''
        self.same_grid = all(spec.shape[2:] == specs_t[i].shape[2:]
                             for spec, i in zip(specs_s, self._order_t))

    def _heads(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]], batch: StepBatch) -> _Heads:
        """Sort the outputs by branch."""
        own = batch.head
        return _Heads(
            own, own if self.same_grid else batch.head_of(self._teacher),
            dict(zip(self._branches, student['head_maps'])), {
                branch: teacher['head_maps'][i]
                for branch, i in zip(self._branches, self._order_t)
            })

    @staticmethod
    def _targets(heads: _Heads, batch: StepBatch) -> List[TaskTargets]:
        """Cells of the ground truth on the teacher's grid."""
        if heads.of_teacher.head.train_cfg is None:
            raise ConfigError(
                "SparseKD assigns objects on the teacher's grid, which is not "
                "the student's; give the teacher's config the train_cfg of "
                'its head')
        objects = batch.host_objects
        return heads.of_teacher.targets([x[x.labels_3d >= 0] for x in objects],
                                        heads.outputs_t)

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute the active terms."""
        heads = self._heads(student, teacher, batch)
        terms = {}
        if {'cls', 'reg'} & batch.active_terms:
            tasks = list(
                zip(
                    heads.own.maps(heads.outputs_s),
                    heads.of_teacher.maps(heads.outputs_t),
                    self._targets(heads, batch)))
            if 'cls' in batch.active_terms:
                terms['cls'] = sum(
                    masked_score_loss(map_s.cls, map_t.cls,
                                      self._mask(map_t, target), EPS)
                    for map_s, map_t, target in tasks) / len(tasks)
            if 'reg' in batch.active_terms:
                terms['reg'] = sum(
                    self._code_loss(heads.own, *task)
                    for task in tasks) / len(tasks)
        if 'label' in batch.active_terms:
            terms['label'] = self._label_loss(heads, batch)
        return terms

    def _mask(self, map_t: TaskMaps, target: TaskTargets) -> Tensor:
        """Weights (B, H, W) of the pivotal positions of a task or level."""
        return pivotal_mask(map_t.cls, target.mask, self.score_thr, self.soft)

    def _code_loss(self, head: DetectionHead, map_s: TaskMaps, map_t: TaskMaps,
                   target: TaskTargets) -> Tensor:
        """The distance of the box codes of a task or level."""
        if not self.same_grid:
            return zero_like_graph(map_s.reg)
        if head.smooth:
            return anchor_code_loss(
                map_s.reg, map_t.reg,
                target.positives.view(len(target.mask), -1), head.code_weights)
        return code_loss(
            target.codes(map_s.reg), target.codes(map_t.reg),
            head.code_weights)

    def _label_loss(self, heads: _Heads, batch: StepBatch) -> Tensor:
        """The head's loss on merged labels, or what they change in it."""
        metas = [x.metainfo for x in batch.data_samples or []]
        truth = [true_objects(x) for x in batch.data_samples or []]
        loss = heads.own.loss(heads.outputs_s,
                              self.with_boxes(heads, truth, metas), metas)
        if self.replace:
            loss = loss - heads.own.loss(heads.outputs_s, truth, metas)
        return loss

    @torch.no_grad()
    def with_boxes(self, heads: _Heads, truth: List[InstanceData],
                   metas: List[dict]) -> List[InstanceData]:
        """The ground truth, followed by confident boxes of the teacher.

        The release puts these in front. Where a head takes a limited number
        of objects, that would drop the ground truth.
        """
        known = heads.own.num_classes
        if len(self.label_scores) not in (1, known):
            raise ConfigError(
                f'SparseKD: label_score has {len(self.label_scores)} numbers, '
                f'but the head {known} classes; give one number, or one for '
                'each class')
        found = heads.of_teacher.predict(heads.outputs_t, metas,
                                         min(self.label_scores),
                                         self.label_nms)
        return [
            join_objects([objects, self._confident(boxes)], objects)
            for objects, boxes in zip(truth, found)
        ]

    def _confident(self, boxes: InstanceData) -> InstanceData:
        """Those boxes of a frame whose score exceeds that of their class."""
        thresholds = constant(self.label_scores, boxes.scores_3d)
        if len(self.label_scores) > 1:
            thresholds = thresholds[boxes.labels_3d.long()]
        return kept_objects(boxes, boxes.scores_3d > thresholds)

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """By task or level: the pivotal positions if there is ground truth,
        the teacher's and the student's largest scores, and their distance."""
        heads = self._heads(student, teacher, batch)
        low_x, low_y, _, high_x, high_y, _ = heads.own.point_cloud_range
        tasks = zip(
            heads.own.maps(heads.outputs_s),
            heads.of_teacher.maps(heads.outputs_t))
        # Data for evaluation have none.
        labelled = all('bboxes_3d' in sample.gt_instances_3d
                       for sample in batch.host_samples)
        targets = self._targets(heads, batch) if labelled else []
        found: List[Visual] = []
        for number, (map_s, map_t) in enumerate(tasks):
            scores_t = map_t.cls.float().sigmoid()
            scores_s = resized_scores(map_s.cls, scores_t)
            maps = {
                'score, teacher': scores_t.amax(1),
                'score, student': scores_s.amax(1),
                'distance': (scores_s - scores_t).square().sum(1),
            }
            if labelled:
                mask = self._mask(map_t, targets[number])
                maps = {'pivotal positions': mask, **maps}
            found += [
                Heatmap(
                    name,
                    values,
                    f'{"level" if heads.own.smooth else "task"} {number}',
                    scale='score' if name.startswith('score') else '',
                    extent=(low_x, low_y, high_x, high_y),
                    changes=name == 'distance')
                for name, values in maps.items()
            ]
        return found
