"""A common interface to dense heads of mmdet, for methods."""
from abc import abstractmethod
from contextlib import contextmanager
from copy import copy
from typing import (Any, ClassVar, Dict, Iterator, List, NamedTuple, Optional,
                    Sequence, Tuple, Type, Union)

import torch
from torch import Tensor, nn

from mmkd.errors import ConfigError
from mmkd.families.detection_heads import Head
from mmkd.families.taps import KnownTap
from mmkd.ops.precision import upcast
from mmkd.ops.processes import all_reduce_mean

#: Largest number of convolutions of a branch that have a standard place.
MAX_CONVS = 4


class DenseTargets(NamedTuple):
    """What the ground truth asks of a dense head, level by level.

    A level of M cells and anchors has a row for each of them in each of the N
    images, in the order of :func:`rows`.

    Attributes:
        priors (list[Tensor]): Anchors ``(x1, y1, x2, y2)`` (M, 4) or points
            ``(x, y)`` (M, 2) of one image, in pixels of the prepared image.
        labels (list[Tensor]): Class of each row (N * M, ), integer; the
            number of classes stands for the background.
        label_weights (list[Tensor]): (N * M, ); 0 for rows that the head's
            class loss leaves out.
        box_targets (list[Tensor]): (N * M, 4), as the head's box loss reads
            them.
        num_positives (float | Tensor): Number of positives of this process;
            in heads with anchors, each image counts one at least.
        num_classes (int): Number of classes.
    """
    priors: List[Tensor]
    labels: List[Tensor]
    label_weights: List[Tensor]
    box_targets: List[Tensor]
    num_positives: Union[float, Tensor]
    num_classes: int

    @property
    def positives(self) -> List[Tensor]:
        """Whether each row has an object, (N * M, ) for each level."""
        return [(x >= 0) & (x < self.num_classes) for x in self.labels]

    def mean_positives(self) -> Tensor:
        """``num_positives``, averaged over the processes; a scalar."""
        total = self.label_weights[0].new_zeros(())
        return all_reduce_mean(total + self.num_positives)


class DenseOutputs(NamedTuple):
    """Outputs of a dense head, one map for each level.

    Attributes:
        cls (list[Tensor]): Class logits (N, A * K, H, W).
        box (list[Tensor]): Box codes (N, A * D, H, W).
        centerness (list[Tensor]): Logits (N, A, H, W); empty for heads
            without.
    """
    cls: List[Tensor]
    box: List[Tensor]
    centerness: Sequence[Tensor] = ()


def rows(maps: Tensor, size: int) -> Tensor:
    """Reorder a map to one row for each anchor.

    Args:
        maps (Tensor): (N, A * D, H, W).
        size (int): D.

    Returns:
        Tensor: (N * H * W * A, D): image by image, cell by cell, anchor by
        anchor.
    """
    return maps.permute(0, 2, 3, 1).reshape(-1, size)


class DenseHead(Head):
    """A wrapper of a dense head of mmdet with the interface for methods.

    Args:
        head (nn.Module): The head.
    """
    #: What options of methods call this kind.
    name: ClassVar[str]
    #: Its class in ``mmdet.models.dense_heads``.
    mmdet_name: ClassVar[str]
    #: The last convolutions of its branches.
    cls_conv: ClassVar[str]
    reg_conv: ClassVar[str]

    def __init__(self, head: Any) -> None:
        super().__init__(head)
        self._assigned: Optional[Tuple[list, tuple]] = None

    @property
    def code(self) -> Dict[str, Any]:
        """Classes, strides, anchors and encoding of boxes."""
        generator = self.head.prior_generator
        anchors = getattr(generator, 'base_anchors', None)
        coder = self.head.bbox_coder
        return {
            'number of classes':
            self.head.num_classes,
            'strides': [tuple(x) for x in generator.strides],
            'anchors':
            anchors and [x.tolist() for x in anchors],
            'box code':
            (type(coder).__name__,
             [list(getattr(coder, name, ())) for name in ('means', 'stds')],
             getattr(self.head, 'reg_max', None))
        }

    @property
    def box_size(self) -> int:
        """Numbers D of a box code."""
        return 4

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return self.head.num_classes

    @classmethod
    def box_taps(cls, head: Any, path: str) -> List[KnownTap]:
        """Taps of the box codes of each level, before an exponential."""
        if hasattr(head, 'scales'):
            return [
                KnownTap(f'{path}.scales.{i}', level=i)
                for i in range(len(head.scales))
            ]
        return [KnownTap(dict(module=f'{path}.{cls.reg_conv}', calls='all'))]

    @classmethod
    def feature_taps(cls, head: Any, path: str, count: int) -> List[KnownTap]:
        """Taps of what :meth:`tail` continues from.

        Args:
            head (nn.Module): The head, at ``path`` in its network.
            path (str): See above.
            count (int): Number of convolutions before, at least 1.

        Returns:
            list[KnownTap]: The branches ``'cls'`` and ``'reg'``, each with
            all levels; empty if the head has fewer convolutions.
        """
        taps = []
        for branch in ('cls', 'reg'):
            convs = getattr(head, f'{branch}_convs')
            if count > len(convs):
                return []
            last = convs[count - 1]
            inside = last.norm_name if last.with_norm else 'conv'
            taps.append(
                KnownTap(
                    dict(
                        module=f'{path}.{branch}_convs.{count - 1}.{inside}',
                        calls='all'),
                    branch=branch))
        return taps

    def tail(self, count: int,
             features: Sequence[Tuple[Tensor, Tensor]]) -> DenseOutputs:
        """Run the rest of the head on the features of its branches.

        Gradients flow to the features. The head's own ``forward`` runs, in
        its mode and with its parameters.

        Args:
            count (int): Number of convolutions of each branch to leave out.
            features (Sequence[tuple[Tensor, Tensor]]): Of each level, the
                features (N, C, H, W) of the class and of the box branch after
                so many convolutions and their normalisation, before the
                activation; the input of the head for 0.

        Returns:
            DenseOutputs: As the head gives them, on the device of the
            features.
        """
        home = features[0][0].device
        device = next(self.head.parameters()).device
        tail = copy(self.head)
        tail._modules = dict(self.head._modules)
        for i, name in enumerate(('cls_convs', 'reg_convs')):
            convs = getattr(self.head, name)
            begin = _Entry(i, convs[count - 1] if count else None)
            tail._modules[name] = nn.ModuleList([begin, *convs[count:]])
        inputs = [
            tuple(upcast(x).to(device) for x in level) for level in features
        ]
        with self.context():
            found = tail.forward(inputs)
        return DenseOutputs(*([x.to(home) for x in levels]
                              for levels in found))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Context that keeps the assignment of the head's own loss, which
        :meth:`targets` then returns without computing it again."""
        assign = self.head.get_targets

        def get_targets(priors: list, *args: Any, **kwargs: Any) -> tuple:
            # The heads with anchors write into the outer list.
            own = priors[0] if isinstance(priors[0], list) else priors
            found = assign(priors, *args, **kwargs)
            self._assigned = own, found
            return found

        self.head.get_targets = get_targets
        try:
            yield
        finally:
            del self.head.get_targets

    @torch.no_grad()
    def targets(self, maps: Sequence[Tensor], samples: list) -> DenseTargets:
        """The head's own assignment of a batch.

        It is that of the forward pass under :meth:`recording`, if there was
        one. Otherwise, the head assigns now, for which the host waits on a
        GPU.

        Args:
            maps (Sequence[Tensor]): Maps (N, C, H, W) of all levels, whose
                sizes and device are read.
            samples (list[DetDataSample]): Prepared data samples of the batch,
                with boxes.
        """
        if self._assigned is None:
            with self.recording():
                self._assign(maps, samples)
        assert self._assigned is not None
        return self._read(*self._assigned)

    def avg_factor(self, targets: DenseTargets) -> Tensor:
        """What the head divides its class loss by, a scalar."""
        return targets.mean_positives()

    def quality(self, targets: DenseTargets,
                boxes: Sequence[Tensor]) -> List[Tensor]:
        """Quality of the positives of each level, (N * M, ), else 0.

        Args:
            targets (DenseTargets): The assignment.
            boxes (Sequence[Tensor]): Box codes (N, A * D, H, W) of each
                level, of a head in eval mode.

        Returns:
            list[Tensor]: IoU of the predicted boxes with their objects, or
            the centreness that ATSS and FCOS ask for.
        """
        from mmdet.structures.bbox import bbox_overlaps
        found = []
        for level, maps in enumerate(boxes):
            priors = targets.priors[level].repeat(len(maps), 1)
            wanted = self._target_boxes(priors, targets.box_targets[level])
            ious = bbox_overlaps(
                self.boxes(level, priors, rows(maps, self.box_size)),
                wanted,
                is_aligned=True)
            found.append(ious * targets.positives[level])
        return found

    def boxes(self, level: int, priors: Tensor, codes: Tensor) -> Tensor:
        """Decode boxes.

        Args:
            level (int): The level.
            priors (Tensor): Prior of each row, (n, 4) or (n, 2).
            codes (Tensor): (n, D), as a head in eval mode gives them.

        Returns:
            Tensor: (n, 4), ``(x1, y1, x2, y2)`` in pixels.
        """
        return self.head.bbox_coder.decode(priors, codes)

    def _target_boxes(self, priors: Tensor, targets: Tensor) -> Tensor:
        """Boxes of :attr:`DenseTargets.box_targets`."""
        return targets

    def _assign(self, maps: Sequence[Tensor], samples: list) -> None:
        """Call the ``get_targets`` of the head."""
        from mmdet.models.utils import unpack_gt_instances
        instances, ignored, metas = unpack_gt_instances(samples)
        sizes = [x.shape[-2:] for x in maps]
        anchors, flags = self.head.get_anchors(
            sizes, metas, device=maps[0].device)
        self.head.get_targets(
            anchors,
            flags,
            instances,
            metas,
            batch_gt_instances_ignore=ignored)

    @abstractmethod
    def _read(self, priors: List[Tensor], found: tuple) -> DenseTargets:
        """What ``get_targets`` returned."""

    def _targets(self, priors: List[Tensor], labels: List[Tensor],
                 label_weights: List[Tensor], box_targets: List[Tensor],
                 num_positives: Union[float, Tensor]) -> DenseTargets:
        return DenseTargets(priors, [x.flatten() for x in labels],
                            [x.flatten() for x in label_weights],
                            [x.reshape(-1, 4) for x in box_targets],
                            num_positives, self.num_classes)


class RetinaHeads(DenseHead):
    """mmdet's ``RetinaHead``."""
    name = 'retinanet'
    mmdet_name = 'RetinaHead'
    cls_conv, reg_conv = 'retina_cls', 'retina_reg'

    def avg_factor(self, targets: DenseTargets) -> Tensor:
        """``num_positives`` of this process, as RetinaNet has it."""
        return targets.label_weights[0].new_zeros(()) + targets.num_positives

    def _target_boxes(self, priors: Tensor, targets: Tensor) -> Tensor:
        if self.head.reg_decoded_bbox:
            return targets
        return self.head.bbox_coder.decode(priors, targets)

    def _read(self, priors: List[Tensor], found: tuple) -> DenseTargets:
        labels, label_weights, box_targets, _, num_positives = found
        return self._targets(priors, labels, label_weights, box_targets,
                             num_positives)


class ATSSHeads(DenseHead):
    """mmdet's ``ATSSHead``."""
    name = 'atss'
    mmdet_name = 'ATSSHead'
    cls_conv, reg_conv = 'atss_cls', 'atss_reg'

    def quality(self, targets: DenseTargets,
                boxes: Sequence[Tensor]) -> List[Tensor]:
        """Centreness of the anchors in their objects; ``boxes`` are not read.
        """
        found = []
        for priors, wanted, positives in zip(targets.priors,
                                             targets.box_targets,
                                             targets.positives):
            priors = priors.repeat(len(wanted) // len(priors), 1)
            # Centred, the rows without an object are no NaN.
            wanted = torch.where(positives[:, None], wanted, priors)
            found.append(
                self.head.centerness_target(priors, wanted) * positives)
        return found

    def _read(self, priors: List[Tensor], found: tuple) -> DenseTargets:
        _, labels, label_weights, box_targets, _, num_positives = found
        return self._targets(priors, labels, label_weights, box_targets,
                             num_positives)


class GFLHeads(ATSSHeads):
    """mmdet's ``GFLHead``, whose box codes are distributions."""
    name = 'gfl'
    mmdet_name = 'GFLHead'
    cls_conv, reg_conv = 'gfl_cls', 'gfl_reg'
    quality = DenseHead.quality

    @property
    def box_size(self) -> int:
        """Bins of the distributions of all edges."""
        return 4 * self.bins

    @property
    def bins(self) -> int:
        """Bins of the distribution of an edge."""
        return self.head.reg_max + 1

    def boxes(self, level: int, priors: Tensor, codes: Tensor) -> Tensor:
        """See the base class; the codes are logits of the distributions."""
        stride = self.head.prior_generator.strides[level][0]
        return self.head.bbox_coder.decode(
            self.head.anchor_center(priors),
            self.head.integral(codes) * stride)


class FCOSHeads(DenseHead):
    """mmdet's ``FCOSHead``, which has points in place of anchors."""
    name = 'fcos'
    mmdet_name = 'FCOSHead'
    cls_conv, reg_conv = 'conv_cls', 'conv_reg'

    def avg_factor(self, targets: DenseTargets) -> Tensor:
        """What it divides its box loss by: the mean over the processes of
        the sum of :meth:`quality`. Without positives, it is 0."""
        quality = self.quality(targets, ())
        return all_reduce_mean(torch.stack([x.sum() for x in quality]).sum())

    def quality(self, targets: DenseTargets,
                boxes: Sequence[Tensor]) -> List[Tensor]:
        """Centreness of the points in their objects; ``boxes`` are not read.
        """
        return [
            self.head.centerness_target(
                torch.where(positives[:, None], wanted, 1.)) * positives for
            wanted, positives in zip(targets.box_targets, targets.positives)
        ]

    def _assign(self, maps: Sequence[Tensor], samples: list) -> None:
        points = self.head.prior_generator.grid_priors(
            [x.shape[-2:] for x in maps], device=maps[0].device)
        self.head.get_targets(points, [x.gt_instances for x in samples])

    def _read(self, priors: List[Tensor], found: tuple) -> DenseTargets:
        labels, box_targets = found
        weights = [torch.ones_like(x, dtype=torch.float) for x in labels]
        count = torch.stack([(x < self.num_classes).sum() for x in labels])
        return self._targets(priors, labels, weights, box_targets, count.sum())


class _Entry(nn.Module):
    """Begin of a branch that takes over the features of another network.

    Args:
        branch (int): Index of its features in the pair that it gets.
        conv (nn.Module, optional): The convolution whose activation the
            features lack.
    """

    def __init__(self, branch: int, conv: Any) -> None:
        super().__init__()
        self.branch = branch
        self.activate: Optional[nn.Module] = None
        if conv is not None and conv.with_activation:
            # The features may be those of a tap.
            self.activate = copy(conv.activate)
            if hasattr(self.activate, 'inplace'):
                self.activate.inplace = False

    def forward(self, pair: Tuple[Tensor, Tensor]) -> Tensor:
        """The features of the branch, (N, C, H, W)."""
        features = pair[self.branch]
        return features if self.activate is None else self.activate(features)


#: All kinds.
KINDS: Sequence[Type[DenseHead]] = (RetinaHeads, ATSSHeads, GFLHeads,
                                    FCOSHeads)
#: Methods of mmdet's heads that a subclass must not change.
_RELIED_ON = ('forward', 'forward_single', 'get_targets', 'loss_by_feat')


def dense_head_kind(head: Optional[nn.Module]) -> Optional[Type[DenseHead]]:
    """The kind of a dense head of mmdet; None if it is not known, or changes
    how one of them computes."""
    if head is None:
        return None
    from mmdet.models import dense_heads
    for kind in KINDS:
        base = getattr(dense_heads, kind.mmdet_name)
        if isinstance(head, base) and all(
                getattr(type(head), name) is getattr(base, name)
                for name in _RELIED_ON):
            return kind
    return None


def wrap_dense_head(head: Optional[nn.Module], name: str) -> DenseHead:
    """Wrap a head.

    Args:
        head (nn.Module, optional): The head.
        name (str): What to call its network in messages.

    Raises:
        ConfigError: If it is of no known kind.
    """
    kind = dense_head_kind(head)
    if kind is not None:
        return kind(head)
    found = 'no dense head' if head is None else f'a {type(head).__name__}'
    raise ConfigError(f'{name} has {found}; dense heads that methods can use '
                      f'are {", ".join(x.mmdet_name for x in KINDS)} of mmdet')
