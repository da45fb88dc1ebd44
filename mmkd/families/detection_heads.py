"""A common interface to 3D detection heads, for methods."""
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import (Any, Callable, ClassVar, Dict, Iterable, List, Mapping,
                    NamedTuple, Optional, Sequence, Type)

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmkd.errors import ConfigError
from mmkd.families.taps import KnownTap
from mmkd.ops.masks import masked_rows
from mmkd.ops.precision import full_precision
from mmkd.utils.devices import send


class HeadBranch(NamedTuple):
    """Which output of a head a tensor is; see
    :class:`~mmkd.families.taps.KnownTap`."""
    task: Optional[int]
    name: str
    level: int = 0

    def __str__(self) -> str:
        where = f'level {self.level}' if self.task is None else (
            f'task {self.task}')
        return f'{self.name!r} of {where}'


#: Tapped outputs of a head, those of the place ``head_maps``.
HeadMaps = Mapping[HeadBranch, Tensor]


class TaskMaps(NamedTuple):
    """Outputs of a head for a group of classes, or for a level.

    Attributes:
        cls (Tensor): Class logits (B, C, H, W).
        reg (Tensor): Box codes, one row per possible box: (B * H * W, R), or
            (B * H * W * A, R) with A anchors per cell.
    """
    cls: Tensor
    reg: Tensor


class TaskTargets(NamedTuple):
    """Targets of objects for :class:`TaskMaps`.

    Attributes:
        mask (Tensor): (B, H, W), 0 to 1: weight of each cell for the objects.
        positives (Tensor): Rows of ``reg`` that are assigned to an object:
            their indices (n, ), or (rows, ) in bool.
        peaks (Tensor, optional): (B, C, H, W), bool: cells with the centre of
            an object of each class; None for heads without heatmaps.
    """
    mask: Tensor
    positives: Tensor
    peaks: Optional[Tensor] = None

    def codes(self, reg: Tensor) -> Tensor:
        """Codes (n, R) of the positives; see
        :func:`~mmkd.ops.masks.masked_rows`."""
        if self.positives.dtype == torch.bool:
            return masked_rows(reg, self.positives)
        return reg[self.positives]

    @property
    def num_positives(self) -> Optional[Tensor]:
        """Number of positives, if :meth:`codes` may have more rows."""
        if self.positives.dtype == torch.bool:
            return self.positives.sum()
        return None


class Head(ABC):
    """A wrapper of a head with the interface for methods.

    Args:
        head (nn.Module): The head.
    """

    def __init__(self, head: Any) -> None:
        self.head = head
        self.context: Callable[[], AbstractContextManager] = nullcontext

    def run_in(self, context: Callable[[], AbstractContextManager]) -> None:
        """Run the layers of the head in a context from now on.

        Args:
            context (Callable): Makes the context, such as the
                :meth:`~mmkd.core.teacher.Teacher.autocast` of its teacher.
        """
        self.context = context

    @property
    @abstractmethod
    def code(self) -> Dict[str, Any]:
        """The encoding of its outputs, for comparison with another head."""

    def check_same_code(self, teacher: 'Head', name: str) -> None:
        """Check that the outputs of a teacher's head mean the same.

        Args:
            teacher (Head): Head of the teacher.
            name (str): Name of the teacher.

        Raises:
            ConfigError: If they do not; the message names both values.
        """
        if type(self) is not type(teacher):
            raise ConfigError(
                f'the student has a {type(self.head).__name__}, but teacher '
                f'{name!r} a {type(teacher.head).__name__}; this method '
                'compares heads of one kind')
        theirs = teacher.code
        for key, value in self.code.items():
            if value != theirs[key]:
                raise ConfigError(
                    f'the {key} of the student is {value}, but that of '
                    f'teacher {name!r} is {theirs[key]}; maps of both must '
                    'mean the same')


class DetectionHead(Head):
    """A wrapper of a head of mmdet3d with the interface for methods.

    Args:
        head (nn.Module): The head.
        point_cloud_range (Sequence[float]): Range of the maps, ``(x1, y1,
            z1, x2, y2, z2)`` in metres in the LiDAR frame.
    """
    #: What options of methods call this kind.
    name: ClassVar[str]
    #: Whether the distance of box codes is smooth L1 instead of L1.
    smooth = False
    #: Whether the mask of scores is weighted by the teacher's score.
    soft_mask = False

    def __init__(self, head: Any, point_cloud_range: Sequence[float]) -> None:
        super().__init__(head)
        self.point_cloud_range = [float(x) for x in point_cloud_range]

    @property
    def code_weights(self) -> Optional[List[float]]:
        """Weight of each number of a box code; None if they are equal."""
        return None

    @classmethod
    @abstractmethod
    def taps(cls, head: Any, path: str) -> List[KnownTap]:
        """Taps of the last convolutions of a head that lies at ``path``, as
        of the place ``head_maps``."""

    @abstractmethod
    def maps(self, outputs: HeadMaps) -> List[TaskMaps]:
        """Scores and box codes of each task, or of each level.

        Raises:
            ConfigError: If an output of the head was not tapped.
        """

    @abstractmethod
    def targets(self, objects: List[InstanceData],
                outputs: HeadMaps) -> List[TaskTargets]:
        """What objects ask of each of :meth:`maps`.

        Args:
            objects (list[InstanceData]): ``bboxes_3d`` and ``labels_3d`` of
                each frame, on the host.
            outputs (HeadMaps): Outputs of the head.

        Returns:
            list[TaskTargets]: On the device of the outputs.
        """

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """Number of classes K of :meth:`class_labels`."""

    @abstractmethod
    def class_labels(self, objects: List[InstanceData],
                     maps: Sequence[Tensor]) -> List[Tensor]:
        """Class of each cell or anchor.

        Args:
            objects (list[InstanceData]): See :meth:`targets`.
            maps (Sequence[Tensor]): Class scores, (B, A * K, H, W) of each
                level, or the heatmaps of all tasks as one map (B, K, H, W).

        Returns:
            list[Tensor]: (B * H * W * A, ), integer, of each map, on its
            device; K stands for no object.
        """

    @abstractmethod
    def predict(self,
                outputs: HeadMaps,
                metas: List[dict],
                min_score: float,
                nms: bool = True) -> List[InstanceData]:
        """Boxes, scores and labels of each frame, as in evaluation.

        Boxes with lower scores are removed before NMS, which does not affect
        the others.

        Args:
            outputs (HeadMaps): Outputs of the head.
            metas (list[dict]): Meta information of each frame.
            min_score (float): Minimum score.
            nms (bool): Whether to suppress overlapping boxes; heads of
                anchors always do. Defaults to True.
        """

    @abstractmethod
    def loss(self, outputs: HeadMaps, objects: List[InstanceData],
             metas: List[dict]) -> Tensor:
        """The head's own loss for these objects, a scalar."""


class CenterHeads(DetectionHead):
    """mmdet3d's ``CenterHead``: a heatmap and regressions for each task."""
    name = 'center'
    soft_mask = True
    #: Branches in the order of its box codes.
    NAMES = ('reg', 'height', 'dim', 'rot', 'vel')

    @property
    def code(self) -> dict:
        """Point cloud range, tasks, and encoding of sizes."""
        return dict(
            point_cloud_range=self.point_cloud_range,
            tasks=[list(names) for names in self.head.class_names],
            norm_bbox=self.head.norm_bbox)

    @property
    def code_weights(self) -> Optional[List[float]]:
        """Those of its training."""
        return self.head.train_cfg.get('code_weights')

    @classmethod
    def taps(cls, head: Any, path: str) -> List[KnownTap]:
        """Taps of the place ``head_maps``: by task, the heatmap first."""
        taps: List[KnownTap] = []
        for number, task in enumerate(head.task_heads):
            base = f'{path}.task_heads.{number}'
            regression = _regression(task)
            split = regression is not task
            heatmap = f'{base}.cls_head' if split else f'{base}.heatmap'
            taps.append(KnownTap(heatmap, task=number, branch='heatmap'))
            base = f'{base}.task_head' if split else base
            taps += [
                KnownTap(f'{base}.{name}', task=number, branch=name)
                for name in cls.NAMES if name in regression.heads
            ]
        return taps

    def _by_task(self, outputs: HeadMaps) -> List[Dict[str, Tensor]]:
        return [{
            name: _output(outputs, HeadBranch(number, name))
            for name in ('heatmap', *self.NAMES)
            if name in ('heatmap', *_regression(task).heads)
        } for number, task in enumerate(self.head.task_heads)]

    def maps(self, outputs: HeadMaps) -> List[TaskMaps]:
        """Heatmap and regression of each task."""
        found = []
        for task in self._by_task(outputs):
            reg = torch.cat([task[x] for x in self.NAMES if x in task], 1)
            found.append(
                TaskMaps(task['heatmap'],
                         reg.permute(0, 2, 3, 1).flatten(0, 2)))
        return found

    @property
    def num_classes(self) -> int:
        """Number of classes of all tasks."""
        return sum(map(len, self.head.class_names))

    def class_labels(self, objects: List[InstanceData],
                     maps: Sequence[Tensor]) -> List[Tensor]:
        """Classes at the centres of the objects, task by task; of several in
        a cell, one of them."""
        heatmaps = self.head.get_targets(objects)[0]
        peaks = send(torch.cat(heatmaps, 1), maps[0].device) == 1
        found = peaks.byte().argmax(1).masked_fill(~peaks.any(1),
                                                   self.num_classes)
        return [found.flatten()]

    def targets(self, objects: List[InstanceData],
                outputs: HeadMaps) -> List[TaskTargets]:
        """Peaks around the objects, and the cells of their centres."""
        # On the host: it loops over the objects and reads their positions.
        heatmaps, _, indices, masks = self.head.get_targets(objects)
        device = next(iter(outputs.values())).device
        found = []
        for heatmap, index, mask in zip(heatmaps, indices, masks):
            cells = heatmap.shape[-2] * heatmap.shape[-1]
            first = torch.arange(len(index)) * cells
            rows = (index + first[:, None])[mask.bool()]
            found.append(
                TaskTargets(*(send(x, device)
                              for x in (heatmap.amax(1), rows, heatmap == 1))))
        return found

    @full_precision
    def predict(self,
                outputs: HeadMaps,
                metas: List[dict],
                min_score: float,
                nms: bool = True) -> List[InstanceData]:
        """Boxes, scores and labels of each frame."""
        head = copy(self.head)
        head.bbox_coder = copy(head.bbox_coder)
        head.bbox_coder.score_threshold = max(
            head.bbox_coder.score_threshold or 0, min_score)
        if not nms:
            head.test_cfg = dict(head.test_cfg, nms_type='rotate')
            head.get_task_detections = _every_detection
        return head.predict_by_feat([[x] for x in self._by_task(outputs)],
                                    metas)

    @full_precision
    def loss(self, outputs: HeadMaps, objects: List[InstanceData],
             metas: List[dict]) -> Tensor:
        """Focal loss of the heatmaps and L1 of the regressions."""
        # The loss applies the sigmoid to the heatmap in place.
        tasks = [[dict(task, heatmap=task['heatmap'].clone())]
                 for task in self._by_task(outputs)]
        return _total(self.head.loss_by_feat(tasks, objects).values())


class AnchorHeads(DetectionHead):
    """mmdet3d's ``Anchor3DHead``: scores and codes of anchors, by level."""
    name = 'anchor'
    smooth = True
    #: Its convolutions and what they give, in the order of its outputs.
    CONVS = (('conv_cls', 'cls_score'), ('conv_reg', 'bbox_pred'),
             ('conv_dir_cls', 'dir_cls_pred'))

    @property
    def code(self) -> dict:
        """Point cloud range, classes and anchors."""
        generator = self.head.prior_generator
        return dict(
            point_cloud_range=self.point_cloud_range,
            num_classes=self.head.num_classes,
            anchor_sizes=[list(size) for size in generator.sizes],
            anchor_rotations=list(generator.rotations))

    @property
    def code_weights(self) -> Optional[List[float]]:
        """Those of its training."""
        return self.head.train_cfg.get('code_weight')

    @classmethod
    def taps(cls, head: Any, path: str) -> List[KnownTap]:
        """Taps of the place ``head_maps``: scores of all levels first."""
        return [
            KnownTap(
                dict(module=f'{path}.{name}', calls='all'), branch=branch)
            for name, branch in (('conv_cls', 'cls_score'),
                                 ('conv_reg', 'bbox_pred'), ('conv_dir_cls',
                                                             'dir_cls_pred'))
            if hasattr(head, name)
        ]

    def _by_kind(self, outputs: HeadMaps) -> List[List[Any]]:
        levels = range(1 + max(branch.level for branch in outputs))
        return [[
            _output(outputs, HeadBranch(None, branch, level)) if hasattr(
                self.head, conv) else None for level in levels
        ] for conv, branch in self.CONVS]

    def maps(self, outputs: HeadMaps) -> List[TaskMaps]:
        """Scores and codes of each level."""
        cls, reg, _ = self._by_kind(outputs)
        size = self.head.box_code_size
        return [
            TaskMaps(score,
                     code.permute(0, 2, 3, 1).reshape(-1, size))
            for score, code in zip(cls, reg)
        ]

    @property
    def num_classes(self) -> int:
        """Number of classes of each anchor."""
        return self.head.num_classes

    def class_labels(self, objects: List[InstanceData],
                     maps: Sequence[Tensor]) -> List[Tensor]:
        """Classes of the anchors that are assigned to objects."""
        head, device = self.head, maps[0].device
        metas: List[dict] = [{}] * len(objects)
        sizes = [tuple(x.shape[-2:]) for x in maps]
        found = head.anchor_target_3d(
            head.get_anchors(sizes, metas, device=device),
            # It converts their boxes to tensors in place.
            [_on(x, device) for x in objects],
            metas,
            num_classes=head.num_classes,
            label_channels=head.cls_out_channels
            if head.use_sigmoid_cls else 1,
            sampling=head.sampling)
        return [labels.flatten() for labels in found[0]]

    def targets(self, objects: List[InstanceData],
                outputs: HeadMaps) -> List[TaskTargets]:
        """Cells with a positive anchor, and these anchors."""
        cls = self._by_kind(outputs)[0]
        targets = []
        for labels, maps in zip(self.class_labels(objects, cls), cls):
            positive = (labels >= 0) & (labels < self.num_classes)
            by_cell = positive.view(len(objects), *maps.shape[2:], -1)
            targets.append(TaskTargets(by_cell.any(-1).float(), positive))
        return targets

    @full_precision
    def predict(self,
                outputs: HeadMaps,
                metas: List[dict],
                min_score: float,
                nms: bool = True) -> List[InstanceData]:
        """Boxes, scores and labels of each frame."""
        cfg = copy(self.head.test_cfg)
        cfg.score_thr = max(cfg.get('score_thr', 0), min_score)
        return self.head.predict_by_feat(
            *self._by_kind(outputs), batch_input_metas=metas, cfg=cfg)

    @full_precision
    def loss(self, outputs: HeadMaps, objects: List[InstanceData],
             metas: List[dict]) -> Tensor:
        """Losses of scores, codes and directions."""
        copies = [
            InstanceData(bboxes_3d=x.bboxes_3d, labels_3d=x.labels_3d)
            for x in objects
        ]
        losses = self.head.loss_by_feat(*self._by_kind(outputs), copies, metas)
        return _total(losses.values())


def _on(objects: InstanceData, device: torch.device) -> InstanceData:
    """A copy of objects on a device."""
    boxes = objects.bboxes_3d
    return InstanceData(
        bboxes_3d=boxes.new_box(send(boxes.tensor, device)),
        labels_3d=send(objects.labels_3d, device))


def _every_detection(_: int, scores: List[Tensor], boxes: List[Tensor],
                     labels: List[Tensor], __: List[dict]) -> List[dict]:
    """In place of a ``CenterHead``'s rotated NMS."""
    return [
        dict(bboxes=box, scores=score, labels=label)
        for box, score, label in zip(boxes, scores, labels)
    ]


def _total(losses: Iterable[Any]) -> Any:
    """Sum of losses, each a number or one for each level."""
    return sum(
        _total(x) if isinstance(x, (list, tuple)) else x for x in losses)


def _output(outputs: HeadMaps, branch: HeadBranch) -> Tensor:
    if branch not in outputs:
        raise ConfigError(f'the taps of the head lack {branch}; leave them '
                          'out to read all of its outputs')
    return outputs[branch]


def _regression(task: Any) -> Any:
    """The part of a task of a CenterHead with the regression branches: one
    with deformable convolutions keeps the heatmap apart."""
    return task.task_head if hasattr(task, 'cls_head') else task


def head_kind(head: Optional[nn.Module]) -> Optional[Type[DetectionHead]]:
    """The kind of a head of mmdet3d; None if it is not known."""
    if hasattr(head, 'task_heads'):
        return CenterHeads
    if hasattr(head, 'prior_generator'):
        return AnchorHeads
    return None
