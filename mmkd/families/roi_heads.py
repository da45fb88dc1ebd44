"""An interface to the RoI head of detectors of two stages, for methods."""
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

import torch
from torch import Tensor, nn

from mmkd.errors import ConfigError
from mmkd.families.detection_heads import Head
from mmkd.ops.precision import upcast


class RoISamples(NamedTuple):
    """The boxes on which the student's RoI head trains.

    Attributes:
        rois (Tensor): (R, 5): number of the image and ``(x1, y1, x2, y2)`` in
            pixels of the prepared image.
        labels (Tensor): Assigned class of each, (R, ), integer; the number of
            classes stands for the background.
    """
    rois: Tensor
    labels: Tensor


class RoIFeatures(NamedTuple):
    """What a RoI head makes of boxes.

    Attributes:
        embeddings (Tensor): Input of the classifier, (R, E).
        logits (Tensor): Class logits (R, K + 1), the background last.
        boxes (Tensor, optional): Box codes (R, 4 * K), or (R, 4) for all
            classes; None of a head that regresses none.
    """
    embeddings: Tensor
    logits: Tensor
    boxes: Optional[Tensor] = None


class RoIHead(Head):
    """A wrapper of mmdet's ``StandardRoIHead`` with a box head of fully
    connected layers, or of the first stage of a ``CascadeRoIHead``.

    Args:
        head (nn.Module): The RoI head.
    """

    def __init__(self, head: Any) -> None:
        super().__init__(head)
        self._sampled: Optional[list] = None
        self.box_head, self.extractor = (
            _first(part) for part in (head.bbox_head, head.bbox_roi_extractor))

    @property
    def single(self) -> bool:
        """Whether it has one stage, so that it can be a student's."""
        return self.box_head is self.head.bbox_head

    @property
    def code(self) -> Dict[str, Any]:
        """Number of classes."""
        return {'number of classes': self.num_classes}

    @property
    def num_classes(self) -> int:
        """Number of classes K, without the background."""
        return self.box_head.num_classes

    @property
    def channels(self) -> int:
        """Channels E of the embeddings."""
        return self.box_head.fc_cls.in_features

    @property
    def num_codes(self) -> int:
        """Length of the box codes of a box: 4 * K, 4 for all classes, or 0 of
        a head that regresses none."""
        layer = getattr(self.box_head, 'fc_reg', None)
        return layer.out_features if isinstance(layer, nn.Linear) else 0

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Context that keeps the boxes that the head's own loss samples, for
        :attr:`samples`."""
        sampler = self.head.bbox_sampler
        sample, sampled = sampler.sample, []

        def recorded(*args: Any, **kwargs: Any) -> Any:
            sampled.append(sample(*args, **kwargs))
            return sampled[-1]

        self._sampled, sampler.sample = sampled, recorded
        try:
            yield
        finally:
            del sampler.sample

    @property
    def samples(self) -> RoISamples:
        """The boxes of the forward pass under :meth:`recording`, image by
        image, those of objects first."""
        from mmdet.structures.bbox import bbox2roi
        assert self._sampled is not None
        labels: List[Tensor] = []
        for found in self._sampled:
            labels += [
                found.pos_gt_labels,
                found.pos_gt_labels.new_full((len(found.neg_priors), ),
                                             self.num_classes)
            ]
        return RoISamples(
            bbox2roi([found.priors for found in self._sampled]),
            torch.cat(labels))

    def features(self, maps: Sequence[Tensor], rois: Tensor) -> RoIFeatures:
        """Pool maps in boxes and run the box head, in its mode.

        Args:
            maps (Sequence[Tensor]): Outputs of the neck (N, C, H, W) of all
                levels.
            rois (Tensor): See :class:`RoISamples`.

        Returns:
            RoIFeatures: On the device of the boxes.
        """
        head, box_head, extractor = self.head, self.box_head, self.extractor
        device = next(box_head.parameters()).device
        inputs = tuple(
            upcast(x).to(device) for x in maps[:extractor.num_inputs])
        read: List[Tensor] = []
        handle = box_head.fc_cls.register_forward_pre_hook(
            lambda module, args: read.append(args[0]))
        try:
            with self.context():
                pooled = extractor(inputs, rois.to(device))
                if head.with_shared_head:
                    pooled = head.shared_head(pooled)
                logits, boxes = box_head(pooled)
        finally:
            handle.remove()
        return RoIFeatures(read[0].to(rois.device), logits.to(rois.device),
                           None if boxes is None else boxes.to(rois.device))


def _first(part: Any) -> Any:
    """The first stage of a part, if it has several."""
    return part[0] if isinstance(part, nn.ModuleList) and len(part) else part


def find_roi_head(network: Optional[nn.Module],
                  single: bool = True) -> Optional[RoIHead]:
    """The RoI head of a network, None if it has none of this kind.

    Args:
        network (nn.Module, optional): The network.
        single (bool): Whether it must have one stage. Defaults to True.
    """
    head: Any = getattr(network, 'roi_head', None)
    box_head: Any = _first(getattr(head, 'bbox_head', None))
    if hasattr(head, 'bbox_roi_extractor') and isinstance(
            getattr(box_head, 'fc_cls', None), nn.Linear):
        found = RoIHead(head)
        return found if found.single or not single else None
    return None


def roi_head_of(network: nn.Module, name: str, single: bool = True) -> RoIHead:
    """The RoI head of a network.

    Args:
        network (nn.Module): The network.
        name (str): What to call it in messages.
        single (bool): Whether it must have one stage, as that of a student.
            Defaults to True.

    Raises:
        ConfigError: If it has none of this kind.
    """
    found = find_roi_head(network, single)
    if found is None:
        raise ConfigError(
            f'{name} ({type(network).__name__}) has no known RoI head; '
            'this method serves Faster and Mask R-CNN of mmdet, and as '
            'teachers also Cascade R-CNN')
    return found
