"""The batch of a step, as methods see it."""
from dataclasses import dataclass, field, replace
from functools import partial
from typing import (Any, Callable, Dict, FrozenSet, List, Mapping, NamedTuple,
                    Optional, Sequence, Tuple)

import torch
from torch import Tensor

from mmkd.core.schedule import Progress
from mmkd.errors import ConfigError, MismatchError
from mmkd.families.objects_3d import true_objects


class Instances(NamedTuple):
    """The labelled objects of an image.

    Attributes:
        boxes (Tensor): (n, 4) in float, ``(x1, y1, x2, y2)`` in pixels of
            the student's prepared image; n may be 0.
        labels (Tensor): Class of each, (n, ), integer.
    """
    boxes: Tensor
    labels: Tensor


@dataclass(frozen=True)
class RawBatch:
    """A batch as the data loader made it, on the host.

    The device need not be waited for to read it.

    Attributes:
        inputs (Any): The inputs of all networks.
        data_samples (list, optional): The data samples with ground truth,
            before the preprocessor pads it.
        label_padding (int, optional): The label with which the preprocessor
            pads label maps.
    """
    inputs: Any
    data_samples: Optional[list] = None
    label_padding: Optional[int] = None


@dataclass
class StepBatch:
    """The batch of a step, as distillers can access it.

    Attributes:
        inputs (Tensor | dict): The student's prepared inputs.
        data_samples (list): The student's data samples, with ground truth.
        progress (Progress): Progress of the training.
        active_terms (frozenset[str]): The distiller's terms with nonzero
            weight at this iteration; others need not be computed.
        teacher_inputs (dict[str, Tensor | dict]): Prepared inputs of the
            teachers that ran, by name; see :meth:`inputs_of`.
        make_head (Callable, optional): Maps the name of a teacher, or None
            for the student, to the value of :meth:`head_of`.
        make_dense_head (Callable, optional): The same for
            :meth:`dense_head`.
        make_roi_head (Callable, optional): The same for :attr:`roi_samples`
            and :meth:`roi_features`.
        task_losses (dict[str, Tensor]): The student's own losses by name.
        raw (RawBatch, optional): What it was prepared from; None where the
            preparation augments it at random.
    """
    inputs: object = None
    data_samples: Optional[list] = None
    progress: Progress = field(default_factory=Progress)
    active_terms: FrozenSet[str] = frozenset()
    teacher_inputs: Dict[str, Any] = field(default_factory=dict)
    make_head: Optional[Callable[[Optional[str]], Any]] = None
    make_dense_head: Optional[Callable[[Optional[str]], Any]] = None
    make_roi_head: Optional[Callable[[Optional[str]], Any]] = None
    task_losses: Dict[str, Any] = field(default_factory=dict)
    raw: Optional[RawBatch] = None
    _shared: Dict[str, Any] = field(default_factory=dict, repr=False)

    def shared(self, key: str, make: Callable[[], Any]) -> Any:
        """Return an object that all distillers of a step share.

        Args:
            key (str): Its name.
            make (Callable): Creates it on the first call.
        """
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def inputs_of(self, teacher: Optional[str]) -> object:
        """Prepared inputs of a teacher.

        Args:
            teacher (str, optional): Its name, as in ``network`` of a tap.

        Returns:
            Tensor | dict: The student's inputs if the teacher has no separate
            ones.
        """
        return self.teacher_inputs.get(teacher or '', self.inputs)

    @property
    def head(self) -> Any:
        """The student's 3D detection head; see :meth:`head_of`."""
        return self.head_of(None)

    def head_of(self, teacher: Optional[str]) -> Any:
        """A 3D detection head, a
        :class:`~mmkd.families.detection_heads.DetectionHead`.

        Args:
            teacher (str, optional): Name of a teacher; None for the student.

        Raises:
            ConfigError: If the network has no head of a known kind.
        """
        if self.make_head is None:
            raise ConfigError('this method needs a 3D detection head')
        make = partial(self.make_head, teacher)
        return self.shared(f'head {teacher}', make)

    def dense_head(self, teacher: Optional[str] = None) -> Any:
        """A dense 2D detection head, a
        :class:`~mmkd.families.dense_heads.DenseHead`.

        Args:
            teacher (str, optional): Name of a teacher. Defaults to None: the
                head of the student.

        Raises:
            ConfigError: If the network has no head of a known kind.
        """
        if self.make_dense_head is None:
            raise ConfigError('this method needs a dense detection head')
        make = partial(self.make_dense_head, teacher)
        return self.shared(f'dense_head {teacher}', make)

    def dense_targets(self, maps: Sequence[Tensor]) -> Any:
        """The assignment of the student's dense head, a
        :class:`~mmkd.families.dense_heads.DenseTargets`.

        Args:
            maps (Sequence[Tensor]): Maps (N, C, H, W) of all its levels.

        Raises:
            ConfigError: If the batch has no boxes in images.
        """
        _ = self.instances  # raises if there are none
        return self.shared(
            'dense_targets',
            lambda: self.dense_head().targets(maps, self.data_samples))

    def _roi_head(self, teacher: Optional[str] = None) -> Any:
        if self.make_roi_head is None:
            raise ConfigError('this method needs a detector of two stages')
        make = partial(self.make_roi_head, teacher)
        return self.shared(f'roi_head {teacher}', make)

    @property
    def roi_samples(self) -> Any:
        """The boxes on which the student's RoI head trains in this step, a
        :class:`~mmkd.families.roi_heads.RoISamples`; for methods with
        ``needs_rois``.

        Raises:
            ConfigError: If the student has no RoI head of a known kind.
        """
        return self.shared('roi_samples', lambda: self._roi_head().samples)

    @torch.no_grad()
    def roi_features(self, teacher: str, maps: Sequence[Tensor]) -> Any:
        """What the RoI head of a teacher makes of :attr:`roi_samples`, a
        :class:`~mmkd.families.roi_heads.RoIFeatures`.

        Args:
            teacher (str): Its name.
            maps (Sequence[Tensor]): All outputs of its neck, (N, C, H, W).

        Raises:
            ConfigError: If it has no RoI head of a known kind.
        """
        return self.shared(
            f'roi_features {teacher}', lambda: self._roi_head(teacher).
            features(maps, self.roi_samples.rois))

    @property
    def labels(self) -> Tensor:
        """Ground-truth label maps of the batch, (N, H, W), integer.

        Raises:
            ConfigError: If the batch has no label maps.
        """
        return self.shared('labels', self._stack_labels)

    @property
    def host_points(self) -> List[Tensor]:
        """The student's point clouds on the host; see
        :attr:`host_samples`."""
        inputs: Any = self.inputs if self.raw is None else self.raw.inputs
        return [points.cpu() for points in inputs['points']]

    @property
    def host_labels(self) -> List[Tensor]:
        """The pixels of :attr:`labels` on the host, (n, ) for each image;
        one stands for all the padding. Label maps of the data loader need no
        copy; see :attr:`host_samples`."""
        return self.shared('host_labels', self._read_labels)

    def _read_labels(self) -> List[Tensor]:
        size = self.labels.shape[-2:]
        padding = None if self.raw is None else self.raw.label_padding
        found = []
        for pixels in _label_maps(self.host_samples):
            padded = pixels.shape[-2:] != size and padding is not None
            pixels = pixels.flatten()
            found.append(
                torch.cat([pixels, pixels.new_tensor([padding])]
                          ) if padded else pixels)
        return found

    def _stack_labels(self) -> Tensor:
        maps = _label_maps(self.data_samples)
        if not maps:
            raise MismatchError(
                'this method needs label maps (`gt_sem_seg`), but the batch '
                'has none; it serves semantic segmentation only')
        return torch.stack(maps).flatten(0, -3)

    @property
    def host_samples(self) -> list:
        """The data samples on the host: those of :attr:`raw`, or copies of
        the prepared ones, which makes the host wait."""
        if self.raw is not None and self.raw.data_samples is not None:
            return self.raw.data_samples
        return self.shared(
            'host_samples',
            lambda: [sample.to('cpu') for sample in self.data_samples or []])

    @property
    def host_objects(self) -> list:
        """``bboxes_3d`` and ``labels_3d`` of the objects in each frame, an
        ``InstanceData`` on the host; see :attr:`host_samples`.

        Raises:
            ConfigError: If the batch has no 3D boxes.
        """
        samples = self.host_samples
        if not all('gt_instances_3d' in sample for sample in samples):
            raise MismatchError(
                'this method needs 3D boxes (`gt_instances_3d`), but the '
                'batch has none; it serves 3D detection only')
        return [true_objects(sample) for sample in samples]

    @property
    def instances(self) -> List[Instances]:
        """Boxes and classes of the objects in each image, without ignored
        ones.

        Raises:
            ConfigError: If the batch has no boxes in images.
        """
        return self.shared('instances', self._read_instances)

    def _read_instances(self) -> List[Instances]:
        found = []
        samples = self.data_samples or []
        for sample in samples:
            objects = sample.get('gt_instances')
            if objects is None or 'bboxes' not in objects:
                break
            # mmdet may wrap boxes in a class.
            boxes = getattr(objects.bboxes, 'tensor', objects.bboxes)
            if boxes.dim() != 2 or boxes.size(1) != 4:
                break
            found.append(Instances(boxes.float(), objects.labels))
        if not found or len(found) < len(samples):
            raise MismatchError(
                'this method needs boxes (`gt_instances.bboxes`: x1, y1, x2, '
                'y2), but the batch has none; it serves detection in images '
                'only')
        return found

    @property
    def input_size(self) -> Tuple[int, int]:
        """Height and width in pixels of the student's prepared images,
        padding included."""
        images = self.inputs
        if isinstance(images, Mapping):
            images = next((x for x in images.values()
                           if isinstance(x, Tensor) and x.dim() == 4), None)
        if not isinstance(images, Tensor) or images.dim() != 4:
            raise MismatchError('this method needs a batch of images '
                                '(N, C, H, W) as input of the student')
        height, width = images.shape[-2:]
        return height, width

    @property
    def image_sizes(self) -> List[Tuple[int, int]]:
        """Height and width in pixels of each image without its padding."""
        full = self.input_size
        return [
            tuple(sample.metainfo.get('img_shape', full)[:2])
            for sample in self.data_samples or []
        ]

    def for_terms(self, active_terms: FrozenSet[str]) -> 'StepBatch':
        """The same batch for a distiller with other active terms."""
        return replace(self, active_terms=active_terms)


def _label_maps(samples: Optional[list]) -> List[Tensor]:
    return [
        sample.gt_sem_seg.data for sample in samples or []
        if 'gt_sem_seg' in sample
    ]
