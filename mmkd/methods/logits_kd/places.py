"""Where class scores are read, and which of them are compared."""
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from mmkd.core.batch import StepBatch
from mmkd.errors import ConfigError
from mmkd.families.dense_heads import rows
from mmkd.methods.logits_kd.losses import cell_classes
from mmkd.ops.masks import labelled_cells
from mmkd.ops.processes import all_reduce_mean

#: Class scores of both sides: maps (N, C, H, W), or those of boxes (R, C).
Pairs = List[Tuple[Tensor, Tensor]]


class Level(NamedTuple):
    """Class scores of both sides, and what is known of their cells.

    Attributes:
        logits_s, logits_t (Tensor): (N, C, H, W). Anchors and boxes are the
            cells of a map of the width 1.
        valid (Tensor, optional): (N, 1, H, W), bool; None means all.
        classes (Tensor, optional): Class of each cell, (N, 1, H, W), int64.
        weights (Tensor, optional): Broadcastable to (N, 1, H, W).
        positives (Tensor, optional): Number of objects' anchors or centres of
            all levels, averaged over the processes and at least 1; a scalar.
    """
    logits_s: Tensor
    logits_t: Tensor
    valid: Optional[Tensor] = None
    classes: Optional[Tensor] = None
    weights: Optional[Tensor] = None
    positives: Optional[Tensor] = None

    def divisor(self, reduction: str) -> Optional[Tensor]:
        """What the sum over the cells is divided by, a scalar; None for the
        mean over the images."""
        if reduction == 'image':
            return None
        if reduction == 'avg_factor':
            return self.positives
        cells = self.logits_s[:, :1]
        if self.valid is None:
            return cells.new_full((), max(cells.numel(), 1))
        return self.valid.sum().clamp(min=1)


class Rules(NamedTuple):
    """Which cells to compare; the names are those of :class:`LogitsKD`.

    Attributes:
        by_class (bool): Whether the class of each cell is needed.
        assigned (bool): Whether a detection head's assignment is needed.
        cell_weights (Callable, optional): Maps the batch and the scores of
            both sides to weights.
    """
    by_class: bool
    assigned: bool
    valid_only: bool
    foreground_only: bool
    ignore_index: int
    cell_weights: Optional[Callable[..., Tensor]]

    def weights(self,
                batch: StepBatch,
                logits_s: Tensor,
                logits_t: Tensor,
                images: Optional[Tensor] = None,
                num_images: Optional[int] = None) -> Optional[Tensor]:
        """Weights of the cells, with as many dimensions as the scores.

        Args:
            images (Tensor, optional): Image of each box, (R, ). Defaults to
                None: the scores are maps.
            num_images (int, optional): Number of images of the boxes.

        Raises:
            ConfigError: If they are not those of images or cells.
        """
        if self.cell_weights is None:
            return None
        found = self.cell_weights(batch, logits_s.detach(), logits_t)
        count = len(logits_s) if num_images is None else num_images
        cells = (len(logits_s), 1, *logits_s.shape[2:])
        if found.shape not in ((count, ), cells):
            raise ConfigError(
                'LogitsKD: cell_weights gives the shape '
                f'{tuple(found.shape)} for scores {tuple(logits_s.shape)}; '
                f'give {(count, )} for images or {cells} for cells')
        if found.dim() > 1:
            return found
        if images is not None:
            found = found[images]
        return found.view(-1, *(1 for _ in logits_s.shape[1:]))


def pixel_levels(rules: Rules, pairs: Pairs,
                 batch: StepBatch) -> Iterator[Level]:
    """Cells of segmentation heads, with the labels of their pixels."""
    for logits_s, logits_t in pairs:
        size, classes = logits_s.shape[2:], None
        valid = labelled_cells(
            batch.labels, size,
            rules.ignore_index) if rules.valid_only else None
        if rules.by_class:
            classes, known = cell_classes(batch.labels, size, logits_s.size(1),
                                          rules.ignore_index)
            valid = known if valid is None else valid & known
        yield Level(logits_s, logits_t, valid, classes,
                    rules.weights(batch, logits_s, logits_t))


def dense_levels(rules: Rules, pairs: Pairs,
                 batch: StepBatch) -> Iterator[Level]:
    """Maps of a dense detection head; with an assignment, each anchor is a
    cell."""
    if not rules.assigned:
        return _whole_maps(rules, pairs, batch)
    targets = batch.dense_targets([logits_s for logits_s, _ in pairs])
    counted = [
        x > 0 if rules.valid_only else torch.ones_like(x, dtype=torch.bool)
        for x in targets.label_weights
    ]
    return _anchors(rules, pairs, batch, targets.num_classes, targets.labels,
                    counted, targets.mean_positives())


def bev_levels(rules: Rules, pairs: Pairs,
               batch: StepBatch) -> Iterator[Level]:
    """The same for maps of a 3D detection head."""
    if not rules.assigned:
        return _whole_maps(rules, pairs, batch)
    labels = batch.head.class_labels(batch.host_objects,
                                     [logits_s for logits_s, _ in pairs])
    count = batch.head.num_classes
    positives = torch.stack([((x >= 0) & (x < count)).sum() for x in labels])
    counted = [torch.ones_like(x, dtype=torch.bool) for x in labels]
    return _anchors(rules, pairs, batch, count, labels, counted,
                    all_reduce_mean(positives.sum().float()))


def box_levels(rules: Rules, pairs: Pairs,
               batch: StepBatch) -> Iterator[Level]:
    """The boxes on which the student's RoI head trains."""
    rois, labels = batch.roi_samples
    labels = labels[:, None]
    for logits_s, logits_t in pairs:
        # The background comes last.
        end = logits_s.size(1) - rules.foreground_only
        valid = (labels >= 0) & (labels < end)
        weights = rules.weights(batch, logits_s, logits_t, rois[:, 0].long(),
                                len(batch.data_samples or ()))
        logits_s, logits_t, valid, classes = (
            _as_map(x[None])
            for x in (logits_s, logits_t, valid, labels * valid))
        yield Level(logits_s, logits_t, valid, classes,
                    None if weights is None else _as_map(weights[None]))


def _whole_maps(rules: Rules, pairs: Pairs,
                batch: StepBatch) -> Iterator[Level]:
    for logits_s, logits_t in pairs:
        yield Level(
            logits_s,
            logits_t,
            weights=rules.weights(batch, logits_s, logits_t))


def _anchors(rules: Rules, pairs: Pairs, batch: StepBatch, num_classes: int,
             labels: List[Tensor], counted: List[Tensor],
             positives: Tensor) -> Iterator[Level]:
    """Maps with a row for each anchor, in the order of :func:`rows`."""
    for (logits_s, logits_t), classes, valid in zip(pairs, labels, counted):
        weights = rules.weights(batch, logits_s, logits_t)
        if weights is not None and weights.shape[2:] == logits_s.shape[2:]:
            anchors = logits_s.size(1) // num_classes
            weights = weights.flatten(2).repeat_interleave(
                anchors, dim=2).unsqueeze(-1)
        count = len(logits_s)
        maps_s, maps_t, classes, valid = (
            _as_map(x.view(count, -1, x.size(-1)))
            for x in (rows(logits_s, num_classes), rows(logits_t, num_classes),
                      classes[:, None], valid[:, None]))
        known = (classes >= 0) & (classes < num_classes)
        if rules.foreground_only:
            valid = valid & known
        yield Level(maps_s, maps_t, valid, classes * known, weights,
                    positives.clamp(min=1))


def _as_map(values: Tensor) -> Tensor:
    """Rows (N, M, C) as a map (N, C, M, 1)."""
    return values.transpose(1, 2).unsqueeze(-1)


class Place(NamedTuple):
    """A place of class scores.

    Attributes:
        levels (Callable): Gives the :class:`Level` of each pair of scores.
        reductions (tuple[str]): How cells can be averaged, the default
            first.
        sigmoids (bool): Whether the scores are sigmoids, without a
            background class.
        teacher (str, optional): What to read in the teacher, if not the
            same place.
        features (str, optional): Place of the classifier's input, for an
            auxiliary head.
        kernel (int): Kernel of that head. Defaults to 1.
    """
    levels: Callable[[Rules, Pairs, StepBatch], Iterator[Level]]
    reductions: Tuple[str, ...]
    sigmoids: bool = False
    teacher: Optional[str] = None
    features: Optional[str] = None
    kernel: int = 1


PLACES = dict(
    logits=Place(pixel_levels, ('image', 'row'), features='classifier_input'),
    dense_logits=Place(
        dense_levels, ('image', 'row', 'avg_factor'),
        sigmoids=True,
        features='dense_classifier_input',
        kernel=3),
    class_maps=Place(
        bev_levels, ('image', 'row', 'avg_factor'), sigmoids=True),
    roi_logits=Place(box_levels, ('row', ), teacher='neck'))
