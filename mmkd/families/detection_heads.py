"""A common interface to 3D detection heads, for methods."""
from abc import ABC, abstractmethod
from copy import copy
from typing import List, NamedTuple, Optional, Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmkd.errors import ConfigError
from mmkd.ops.precision import full_precision


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
        positives (Tensor): (n, ), rows of ``reg`` that are assigned to an
            object.
        peaks (Tensor, optional): (B, C, H, W), bool: cells with the centre of
            an object of each class; None for heads without heatmaps.
    """
    mask: Tensor
    positives: Tensor
    peaks: Optional[Tensor] = None


class DetectionHead(ABC):
    """A wrapper of a head of mmdet3d with the interface for methods.

    Args:
        head (nn.Module): The head.
        point_cloud_range (Sequence[float]): Range of the maps, ``(x1, y1,
            z1, x2, y2, z2)`` in metres in the LiDAR frame.
    """
    #: Whether the distance of box codes is smooth L1 instead of L1.
    smooth = False
    #: Whether the mask of scores is weighted by the teacher's score.
    soft_mask = False

    def __init__(self, head: nn.Module,
                 point_cloud_range: Sequence[float]) -> None:
        self.head = head
        self.point_cloud_range = [float(x) for x in point_cloud_range]

    @staticmethod
    def of(network: nn.Module, name: str = 'the network') -> 'DetectionHead':
        """Wrap the head of a LiDAR or camera detector.

        Args:
            network (nn.Module): A detector of mmdet3d.
            name (str): Name of the network in messages. Defaults to
                ``'the network'``.

        Raises:
            ConfigError: If it has no head of a known kind.
        """
        head = find_head(network)
        layer = getattr(
            getattr(network, 'data_preprocessor', None), 'voxel_layer', None)
        if layer is None:  # cameras: the grid of the lifted map
            layer = getattr(
                getattr(network, 'view_transform', None), 'grid', None)
        kind = next((kind for marker, kind in _KINDS if hasattr(head, marker)),
                    None)
        if kind is None or layer is None:
            raise ConfigError(
                f'{name} ({type(network).__name__}) has no head that this '
                'method knows: it serves detectors with voxels or cameras '
                'on a map, and a CenterHead or an Anchor3DHead')
        return kind(head, layer.point_cloud_range)

    @property
    @abstractmethod
    def code(self) -> dict:
        """The encoding of its outputs, for comparison with another head."""

    @property
    def code_weights(self) -> Optional[List[float]]:
        """Weight of each number of a box code; None if they are equal."""
        return None

    @abstractmethod
    def maps(self, tensors: Sequence[Tensor]) -> List[TaskMaps]:
        """Group the tensors of the place ``head_maps``."""

    @abstractmethod
    def targets(self, objects: List[InstanceData],
                tensors: Sequence[Tensor]) -> List[TaskTargets]:
        """Targets of objects for each of :meth:`maps`.

        Args:
            objects (list[InstanceData]): ``bboxes_3d`` and ``labels_3d`` of
                each frame.
            tensors (Sequence[Tensor]): Tensors of the place ``head_maps``.
        """

    @abstractmethod
    def predict(self, tensors: Sequence[Tensor], metas: List[dict],
                min_score: float) -> List[InstanceData]:
        """Boxes, scores and labels of each frame, as in evaluation.

        Boxes with lower scores are removed before NMS, which does not affect
        the others.

        Args:
            tensors (Sequence[Tensor]): Tensors of the place ``head_maps``.
            metas (list[dict]): Meta information of each frame.
            min_score (float): Minimum score.
        """

    @abstractmethod
    def loss(self, tensors: Sequence[Tensor], objects: List[InstanceData],
             metas: List[dict]) -> Tensor:
        """The head's own loss for these objects, a scalar."""


class CenterHeads(DetectionHead):
    """mmdet3d's ``CenterHead``: a heatmap and regressions for each task."""
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
    def taps(cls, head: nn.Module, path: str) -> List[str]:
        """Taps of the place ``head_maps``: by task, the heatmap first."""
        taps = []
        for number, task in enumerate(head.task_heads):
            base = f'{path}.task_heads.{number}'
            # A head with deformable convolutions has a separate heatmap
            # branch.
            split = hasattr(task, 'cls_head')
            taps.append(f'{base}.cls_head' if split else f'{base}.heatmap')
            regression = task.task_head if split else task
            base = f'{base}.task_head' if split else base
            taps += [
                f'{base}.{name}' for name in cls.NAMES
                if name in regression.heads
            ]
        return taps

    def _by_task(self, tensors: Sequence[Tensor]) -> List[dict]:
        size = len(tensors) // len(self.head.task_heads)
        return [
            dict(zip(('heatmap', *self.NAMES), tensors[i:i + size]))
            for i in range(0, len(tensors), size)
        ]

    def maps(self, tensors: Sequence[Tensor]) -> List[TaskMaps]:
        """Heatmap and regression of each task."""
        found = []
        for task in self._by_task(tensors):
            reg = torch.cat([task[x] for x in self.NAMES if x in task], 1)
            found.append(
                TaskMaps(task['heatmap'],
                         reg.permute(0, 2, 3, 1).flatten(0, 2)))
        return found

    def targets(self, objects: List[InstanceData],
                tensors: Sequence[Tensor]) -> List[TaskTargets]:
        """Peaks around the objects, and the cells of their centres."""
        heatmaps, _, indices, masks = self.head.get_targets(objects)
        found = []
        for heatmap, index, mask in zip(heatmaps, indices, masks):
            cells = heatmap.shape[-2] * heatmap.shape[-1]
            first = torch.arange(len(index), device=index.device) * cells
            found.append(
                TaskTargets(
                    heatmap.amax(1), (index + first[:, None])[mask.bool()],
                    heatmap == 1))
        return found

    @full_precision
    def predict(self, tensors: Sequence[Tensor], metas: List[dict],
                min_score: float) -> List[InstanceData]:
        """Boxes, scores and labels of each frame."""
        head = copy(self.head)
        head.bbox_coder = copy(head.bbox_coder)
        head.bbox_coder.score_threshold = max(
            head.bbox_coder.score_threshold or 0, min_score)
        return head.predict_by_feat([[x] for x in self._by_task(tensors)],
                                    metas)

    @full_precision
    def loss(self, tensors: Sequence[Tensor], objects: List[InstanceData],
             metas: List[dict]) -> Tensor:
        """Focal loss of the heatmaps and L1 of the regressions."""
        # The loss applies the sigmoid to the heatmap in place.
        tasks = [[dict(task, heatmap=task['heatmap'].clone())]
                 for task in self._by_task(tensors)]
        return sum(self.head.loss_by_feat(tasks, objects).values())


class AnchorHeads(DetectionHead):
    """mmdet3d's ``Anchor3DHead``: scores and codes of anchors, by level."""
    smooth = True

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

    @staticmethod
    def taps(head: nn.Module, path: str) -> List[dict]:
        """Taps of the place ``head_maps``: scores of all levels first."""
        return [
            dict(module=f'{path}.{name}', calls='all')
            for name in ('conv_cls', 'conv_reg', 'conv_dir_cls')
            if hasattr(head, name)
        ]

    def _by_kind(self, tensors: Sequence[Tensor]) -> List[Sequence[Tensor]]:
        kinds = 3 if hasattr(self.head, 'conv_dir_cls') else 2
        size = len(tensors) // kinds
        found = [tensors[i:i + size] for i in range(0, len(tensors), size)]
        return found if kinds == 3 else [*found, [None] * size]

    def maps(self, tensors: Sequence[Tensor]) -> List[TaskMaps]:
        """Scores and codes of each level."""
        cls, reg, _ = self._by_kind(tensors)
        size = self.head.box_code_size
        return [
            TaskMaps(score,
                     code.permute(0, 2, 3, 1).reshape(-1, size))
            for score, code in zip(cls, reg)
        ]

    def targets(self, objects: List[InstanceData],
                tensors: Sequence[Tensor]) -> List[TaskTargets]:
        """Cells with a positive anchor, and these anchors."""
        head = self.head
        cls = self._by_kind(tensors)[0]
        sizes = [tuple(x.shape[-2:]) for x in cls]
        metas = [{}] * len(objects)
        found = head.anchor_target_3d(
            head.get_anchors(sizes, metas, device=cls[0].device),
            # It converts their boxes to tensors in place.
            [
                InstanceData(bboxes_3d=x.bboxes_3d, labels_3d=x.labels_3d)
                for x in objects
            ],
            metas,
            num_classes=head.num_classes,
            label_channels=head.cls_out_channels
            if head.use_sigmoid_cls else 1,
            sampling=head.sampling)
        targets = []
        for labels, (height, width) in zip(found[0], sizes):
            positive = (labels >= 0) & (labels < head.num_classes)
            by_cell = positive.view(len(objects), height, width, -1)
            targets.append(
                TaskTargets(
                    by_cell.any(-1).float(),
                    positive.flatten().nonzero().squeeze(1)))
        return targets

    @full_precision
    def predict(self, tensors: Sequence[Tensor], metas: List[dict],
                min_score: float) -> List[InstanceData]:
        """Boxes, scores and labels of each frame."""
        cfg = copy(self.head.test_cfg)
        cfg.score_thr = max(cfg.get('score_thr', 0), min_score)
        return self.head.predict_by_feat(
            *self._by_kind(tensors), batch_input_metas=metas, cfg=cfg)

    @full_precision
    def loss(self, tensors: Sequence[Tensor], objects: List[InstanceData],
             metas: List[dict]) -> Tensor:
        """Losses of scores, codes and directions."""
        copies = [
            InstanceData(bboxes_3d=x.bboxes_3d, labels_3d=x.labels_3d)
            for x in objects
        ]
        losses = self.head.loss_by_feat(*self._by_kind(tensors), copies, metas)
        return sum(sum(x) for x in losses.values())


# Attributes that only heads of this kind have.
_KINDS = (('task_heads', CenterHeads), ('prior_generator', AnchorHeads))


def find_head(network: nn.Module) -> Optional[nn.Module]:
    """The dense head of a detector of mmdet3d, if it has one."""
    for name in ('pts_bbox_head', 'bbox_head', 'rpn_head'):
        head = getattr(network, name, None)
        if isinstance(head, nn.Module):
            return head
    return None


def head_taps(network: nn.Module) -> list:
    """Taps of the last convolutions of a known head; see ``head_maps`` in
    :data:`mmkd.families.places.PLACES`."""
    head = find_head(network)
    path = next(
        (name for name, module in network.named_children() if module is head),
        '')
    for marker, kind in _KINDS:
        if head is not None and hasattr(head, marker):
            return kind.taps(head, path)
    return []


def check_same_code(student: DetectionHead, teacher: DetectionHead,
                    name: str) -> None:
    """Check that two heads use the same encoding.

    Args:
        student (DetectionHead): Head of the student.
        teacher (DetectionHead): Head of a teacher.
        name (str): Name of the teacher.

    Raises:
        ConfigError: If they do not; the message names both values.
    """
    if type(student) is not type(teacher):
        raise ConfigError(
            f'the student has a {type(student.head).__name__}, but teacher '
            f'{name!r} has a {type(teacher.head).__name__}; this method needs '
            'heads of the same type')
    code_s, code_t = student.code, teacher.code
    for key, value in code_s.items():
        if value != code_t[key]:
            raise ConfigError(f'the {key} of the student is {value}, but that '
                              f'of teacher {name!r} is {code_t[key]}; maps '
                              'both must use the same encoding')
