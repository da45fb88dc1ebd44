"""X-Ray distillation with object-complete frames."""
from typing import Dict, List, Literal, Union

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.features import build_connectors, check_features
from mmkd.core.heads import match_heads
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.families.detection_heads import DetectionHead, HeadMaps
from mmkd.families.objects_3d import join_objects, kept_objects, true_objects
from mmkd.methods.xray.losses import (active_feature_loss, masked_feature_loss,
                                      roi_loss, soft_focal_loss)
from mmkd.ops.constants import constant
from mmkd.ops.detection_heads import code_loss, masked_score_loss, pivotal_mask
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices
from mmkd.utils.devices import send

#: Weights by type of score loss.
SCORES = dict(
    squared=dict(cls=10., reg=.2, emb=.1, response=1.),
    focal=dict(cls=1., reg=2., emb=.1, response=1.))


@DISTILLERS.register_module()
class XRay(Distiller):
    r"""Learn from a teacher with object-complete frames.

    `Weak-to-Strong 3D Object Detection with X-Ray Distillation
    <https://arxiv.org/abs/2404.00679>`_ (Gambashidze et al., CVPR 2024).
    The teacher's frames contain, in each box, the points of the object from
    all frames of the scene (``mmkd complete``,
    ``LoadCompleteObjects``); the student's frames are ordinary. Both networks
    have the same architecture and augmentation. The paper names heads,
    embeddings and detections as targets but publishes no losses; these are
    ours, with masks and weights of SparseKD (Yang et al., NeurIPS 2022):

    - ``cls``: squared distance of class scores in the cells of objects
      (:func:`masked_score_loss`); for a centre head, the weight of a cell is
      the ground-truth heatmap times the teacher's score;
    - ``reg``: distance of box codes at the objects' centres or
      anchors (:func:`code_loss`);
    - ``emb``: squared distance of the maps after the neck;
    - ``response``: the head's own loss, with the teacher's detections added to
      the ground truth; with ``label_kd``, only what they change in it.

    ``L = L_task + lambda_cls L_cls + lambda_reg L_reg + lambda_emb L_emb
    + lambda_response L_response``. The lambdas are the weights of the terms:
    10, 0.2, 0.1 and 1, or 1, 2, 0.1 and 1 with ``scores='focal'``;
    lambda_emb is 1 with ``embedding='active'``, which has weights of its own.
    Only objects with points in the student's frame are included.

    Args:
        student (dict, optional): Taps of the roles ``neck`` and
            ``head_maps`` in the student. Defaults to None: the levels of the
            neck, and the last convolutions of a ``CenterHead`` or an
            ``Anchor3DHead``.
        teacher (dict, optional): The same in the teacher. Defaults to None.
        scores (str): How heads are compared: ``'squared'``, as above, or
            ``'focal'``, as in Sparse2Dense (Wang et al., NeurIPS 2022), for
            a ``CenterHead`` only: the focal loss of heatmaps with the
            teacher's scores as soft targets
            (:func:`soft_focal_loss`), and
            squared differences of the codes. Defaults to ``'squared'``.
        embedding (str): Where maps are compared: ``'roi'``, on a grid in each
            box; ``'mask'``, in the cells of objects; ``'active'``,
            everywhere, with a separate mean over positive values of the
            teacher (Sparse2Dense, :func:`active_feature_loss`). Defaults to
            ``'roi'``.
        roi_size (int): Points along each side of that grid. Defaults to 7.
        min_points (int): Minimum number of the student's points in the box
            of an object. Defaults to 1.
        response_score (float): Minimum score of the teacher's detections.
            Defaults to 0.6.
        response_iou (float): Minimum overlap of such a detection with an
            included object in bird's-eye view. Defaults to 0.1.
        label_kd (bool): Whether the detections become labels of the student's
            own loss, as in SparseKD: ``response`` is then the difference
            between the head's loss with and without them, so at a weight of 1
            it and the student's own loss add up to the loss with both. It may
            be negative. Defaults to False: ``response`` is a second loss.
        connector (str | dict | None): For the maps of ``emb``: ``'auto'`` is
            a 1x1 convolution if the channels differ, which they do not for
            equal architectures. Defaults to ``'auto'``.
        kwargs: Arguments of :class:`Distiller`, such as ``weights``.

    Raises:
        ConfigError: If an option is invalid, or the networks' maps do not
            match.
    """
    roles = ('neck', 'head_maps')
    needs_head = needs_labels = True

    def __init__(self,
                 student=None,
                 teacher=None,
                 scores: Literal['squared', 'focal'] = 'squared',
                 embedding: Literal['roi', 'mask', 'active'] = 'roi',
                 roi_size: int = 7,
                 min_points: int = 1,
                 response_score: float = 0.6,
                 response_iou: float = 0.1,
                 label_kd: bool = False,
                 connector: Union[str, dict, None] = 'auto',
                 **kwargs) -> None:
        check_choices('XRay', XRay, scores=scores, embedding=embedding)
        self.default_weights = dict(SCORES[scores])
        if embedding == 'active':
            self.default_weights['emb'] = 1.
        super().__init__(student=student, teacher=teacher, **kwargs)
        if roi_size < 1 or min_points < 1:
            raise ConfigError('XRay: roi_size and min_points must be 1 or '
                              f'more, but are {roi_size} and {min_points}')
        self.focal = scores == 'focal'
        self.embedding = embedding
        self.roi_size = roi_size
        self.min_points = min_points
        self.response_score = response_score
        self.response_iou = response_iou
        self.label_kd = label_kd
        self.connector_cfg = connector

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Check the shapes of both sides; build connectors."""
        super().setup(student, teacher)
        self._branches, self._order_t = match_heads('XRay',
                                                    student['head_maps'],
                                                    teacher['head_maps'])
        if self.focal and all(x.name != 'heatmap' for x in self._branches):
            raise ConfigError(
                "XRay: scores='focal' is a loss of heatmaps, which a "
                f'CenterHead has; {student["head_maps"][0].path!r} is none, '
                "take scores='squared'")
        self.connectors = nn.ModuleList()
        # Without this term, they would not be trained.
        if self.weights['emb'].peak:
            check_features('XRay', student['neck'], teacher['neck'], False)
            self.connectors = build_connectors(self.connector_cfg,
                                               student['neck'],
                                               teacher['neck'])

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute the active terms."""
        head, metas = batch.head, [x.metainfo for x in batch.data_samples]
        outputs_s = dict(zip(self._branches, student['head_maps']))
        outputs_t = {
            branch: teacher['head_maps'][i]
            for branch, i in zip(self._branches, self._order_t)
        }
        objects = [
            visible_objects(found, points, self.min_points)
            for found, points in zip(batch.host_objects, batch.host_points)
        ]
        targets = head.targets(objects, outputs_s)
        tasks = list(zip(head.maps(outputs_s), head.maps(outputs_t), targets))

        def cls_loss() -> Tensor:
            return sum(
                self._score_loss(head, map_s, map_t, target)
                for map_s, map_t, target in tasks) / len(tasks)

        def reg_loss() -> Tensor:
            return sum(
                code_loss(
                    target.codes(map_s.reg), target.codes(
                        map_t.reg), head.code_weights, head.smooth, self.focal,
                    target.num_positives)
                for map_s, map_t, target in tasks) / len(tasks)

        def emb_loss() -> Tensor:
            return self._embedding_loss(student['neck'], teacher['neck'],
                                        objects, targets, head)

        def response_loss() -> Tensor:
            labelled = self.with_detections(head, outputs_t, objects, batch)
            loss = head.loss(outputs_s, labelled, metas)
            if self.label_kd:
                truth = [true_objects(x) for x in batch.data_samples]
                loss = loss - head.loss(outputs_s, truth, metas)
            return loss

        terms = dict(
            cls=cls_loss, reg=reg_loss, emb=emb_loss, response=response_loss)
        return {
            term: compute()
            for term, compute in terms.items() if term in batch.active_terms
        }

    def _score_loss(self, head, map_s, map_t, target) -> Tensor:
        """The distance of the scores of a task or level."""
        if self.focal:
            return soft_focal_loss(map_s.cls, map_t.cls, target.peaks)
        mask = target.mask
        if head.soft_mask:
            mask = pivotal_mask(map_t.cls, mask)
        return masked_score_loss(map_s.cls, map_t.cls, mask)

    def _embedding_loss(self, feats_s, feats_t, objects, targets,
                        head) -> Tensor:
        """The distance of the maps of all levels of the neck."""
        feats_s = [
            connector(feat)
            for connector, feat in zip(self.connectors, feats_s)
        ]
        if self.embedding == 'active':
            return sum(map(active_feature_loss, feats_s, feats_t))
        if self.embedding == 'mask':
            # They have equal sizes, except for several levels of anchors.
            size = feats_s[0].shape[-2:]
            mask = torch.stack(
                [F.adaptive_max_pool2d(x.mask, size) for x in targets]).amax(0)
            return sum(
                masked_feature_loss(feat_s, feat_t, mask)
                for feat_s, feat_t in zip(feats_s, feats_t))
        boxes = [x.bboxes_3d.bev for x in objects]
        return sum(
            roi_loss(feat_s, feat_t, boxes, head.point_cloud_range,
                     self.roi_size)
            for feat_s, feat_t in zip(feats_s, feats_t))

    @torch.no_grad()
    def with_detections(self, head: DetectionHead, outputs_t: HeadMaps,
                        objects: List[InstanceData],
                        batch: StepBatch) -> List[InstanceData]:
        """The ground truth, preceded by detections of the teacher.

        The detections remain after the teacher's NMS. A detection needs a
        sufficient score, a point of the student, an overlap with an included
        object, and a cell without a ground-truth object, which would take
        precedence.

        Args:
            head (DetectionHead): The student's head.
            outputs_t (HeadMaps): The teacher's outputs.
            objects (list[InstanceData]): The included objects of each frame,
                on the host.
            batch (StepBatch): The batch.

        Returns:
            list[InstanceData]: On the device of the batch; see
            :func:`~mmkd.families.objects_3d.kept_objects`.
        """
        from mmcv.ops import box_iou_rotated
        found = head.predict(outputs_t,
                             [x.metainfo for x in batch.data_samples],
                             self.response_score)
        size = next(iter(outputs_t.values())).shape[-2:]
        labelled = []
        for sample, points, visible, boxes in zip(batch.data_samples,
                                                  batch.inputs['points'],
                                                  objects, found):
            truth = true_objects(sample)
            if len(boxes) and len(visible):
                bev = boxes.bboxes_3d.bev
                overlap = box_iou_rotated(
                    bev.float(),
                    send(visible.bboxes_3d.bev, bev.device).float())
                cells, taken = (
                    _cells(x, head.point_cloud_range, size)
                    for x in (bev, truth.bboxes_3d.bev))
                kept = ((overlap.amax(1) >= self.response_iou)
                        & (cells[:, None] != taken).all(1)
                        & (count_points(points, boxes.bboxes_3d) > 0))
                boxes = kept_objects(boxes, kept)
            else:
                boxes = boxes[:0]
            labelled.append(join_objects([boxes, truth], truth))
        return labelled


def _cells(bev: Tensor, point_cloud_range, size) -> Tensor:
    """Index of the cell of each centre, clamped to the map."""
    low = constant(point_cloud_range[:2], bev)
    high = constant(point_cloud_range[3:5], bev)
    limits = constant([size[1], size[0]], bev)
    cells = ((bev[:, :2] - low) / (high - low) * limits).floor()
    cells = torch.minimum(cells.clamp(min=0), limits - 1).long()
    return cells[:, 1] * size[1] + cells[:, 0]


def count_points(points: Tensor, boxes, chunk: int = 16) -> Tensor:
    """Number of points in each box, including its surface.

    Args:
        points (Tensor): (N, 3) or more columns, metres.
        boxes (BaseInstance3DBoxes): n boxes of the same frame.
        chunk (int): Number of boxes to process at once. Defaults to 16.

    Returns:
        Tensor: (n, ), integer.
    """
    centres = boxes.gravity_center.to(points)
    half, yaw = boxes.dims.to(points) / 2, boxes.yaw.to(points)
    counts = []
    for i in range(0, len(centres), chunk):
        part = slice(i, i + chunk)
        inside = _inside(points[None, :, :3] - centres[part, None],
                         half[part, None], yaw[part, None])
        counts.append(inside.sum(1))
    return torch.cat(counts) if counts else torch.zeros(
        0, dtype=torch.long, device=points.device)


def _inside(offset: Tensor, half: Tensor, yaw: Tensor) -> Tensor:
    """Whether offsets (..., 3) from the centre of a box lie in it, from its
    half size (..., 3) and yaw (...)."""
    x, y, z = offset.unbind(-1)
    cos, sin = yaw.cos(), yaw.sin()
    along, across = cos * x + sin * y, cos * y - sin * x
    length, width, height = half.unbind(-1)
    return ((along.abs() <= length) & (across.abs() <= width) &
            (z.abs() <= height))


def _count_on_host(points: Tensor, boxes) -> Tensor:
    """The result of :func:`count_points`; faster on a CPU, for it compares a
    box only with the points that are near along x."""
    centres, half, yaw = (
        x.to(points)
        for x in (boxes.gravity_center, boxes.dims / 2, boxes.yaw))
    along_x, order = points[:, 0].sort()
    # With a margin for rounding.
    reach = half[:, :2].norm(dim=1) * 1.01 + .01
    first, end = (
        torch.searchsorted(along_x, centres[:, 0] + side * reach)
        for side in (-1, 1))
    near = end - first
    box = torch.arange(len(near)).repeat_interleave(near)
    place = torch.arange(len(box)) - (near.cumsum(0) - near - first)[box]
    inside = _inside(points[order[place], :3] - centres[box], half[box],
                     yaw[box])
    return torch.zeros_like(near).index_add_(0, box, inside.long())


def visible_objects(objects: InstanceData, points: Tensor,
                    min_points: int) -> InstanceData:
    """The objects of a frame with enough points, on the host.

    Args:
        objects (InstanceData): ``bboxes_3d`` and ``labels_3d``.
        points (Tensor): (N, 3) or more columns, of the same frame.
        min_points (int): Minimum number of points of an object.
    """
    seen = _count_on_host(points, objects.bboxes_3d) >= min_points
    return InstanceData(
        bboxes_3d=objects.bboxes_3d[seen], labels_3d=objects.labels_3d[seen])
