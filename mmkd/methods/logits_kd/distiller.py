"""Distillation of class scores, cell by cell."""
from typing import (Dict, Iterator, List, Literal, NamedTuple, Optional, Tuple,
                    Union)

from torch import Tensor

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.logits import check_logits, check_tau
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import (Heatmap, Visual, feature_distance,
                               logits_distance)
from mmkd.errors import ConfigError
from mmkd.methods.logits_kd.losses import (DIVERGENCES, cell_classes,
                                           class_score_losses)
from mmkd.ops.connectors import match_size
from mmkd.ops.masks import labelled_cells
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices


class Level(NamedTuple):
    """Logits of both sides on one grid, and what is known of its cells."""
    logits_s: Tensor
    logits_t: Tensor
    valid: Optional[Tensor]
    classes: Optional[Tensor]


def _read_divergence(cfg: Union[str, dict]) -> Tuple[str, Dict[str, float]]:
    """Name of a divergence and its changed options, from a config."""
    options = dict(cfg) if isinstance(cfg, dict) else dict(type=cfg)
    name = options.pop('type', None)
    if name not in DIVERGENCES:
        raise ConfigError('LogitsKD: divergence must be one of '
                          f'{", ".join(DIVERGENCES)}, but got {name!r}')
    known = DIVERGENCES[name].options
    for key, value in options.items():
        if key not in known:
            raise ConfigError(
                f'LogitsKD: the divergence {name!r} has no option {key!r}; it '
                f'takes {", ".join(known) or "none"}')
        if not isinstance(value, (int, float)) or not value > 0:
            raise ConfigError(
                f'LogitsKD: {key} of {name!r} must be a positive '
                f'number, but got {value!r}')
    return name, options


@DISTILLERS.register_module()
class LogitsKD(Distiller):
    """Match the class scores of each cell.

    By default, `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_ by Hinton et al., applied to every
    cell of segmentation logits. This is the pixel-wise term of `Structured
    Knowledge Distillation for Semantic Segmentation
    <https://arxiv.org/abs/1903.04197>`_. See
    :func:`kl_divergence`. It is the baseline for methods on logits.

    The divergence is summed over classes; some published code averages over
    them. The weight depends on the task and is not taken from a paper.

    Other divergences are equal to the published ones in formula. Most have
    been published for classification only.

    Args:
        place (str): ``'logits'``, class scores of a segmentation head, or
            ``'dense_logits'``, those of a dense detection head, one map
            (N, A * C, H, W) a level. These are sigmoids: the divergence must
            be ``'dist'`` (of sigmoids then), ``'binary'`` or
            ``'binary_norm'``. Defaults to ``'logits'``.
        student (str | list[str], optional): Taps of the student's logits
            (N, C, H, W); levels are summed. Defaults to None: ``place``.
        teacher (str | list[str], optional): Taps of the teacher's logits
            (N, C, H', W'), resized bilinearly to the student's size if they
            differ. Defaults to None.
        divergence (str | dict): One of ``'kl'``; ``'dist'``, with the terms
            ``inter`` and ``intra``; ``'dkd'`` and ``'nkd'``, with the terms
            ``target`` and ``non_target``, which need label maps and leave out
            cells without a label; ``'binary'``, for sigmoid heads, and
            ``'binary_norm'``, its form of Dual-Head KD; ``'pld'``, which
            needs label maps too and replaces the cross entropy of the task;
            ``'sinkhorn'`` and ``'balanced'``, which are experimental. Others
            than those named have one term, ``loss``. A dict changes options:
            ``dict(type='sinkhorn', eps=0.1, rounds=20)``,
            ``dict(type='balanced', nu=2.0)``, or ``dict(type='dist',
            anchors=9)`` to correlate within the classes of each anchor of a
            dense head in place of all its channels. Defaults to ``'kl'``.
        tau (float, optional): Temperature. Defaults to None: 2.0 for
            ``'binary'``, ``'binary_norm'`` and ``'sinkhorn'``, 1.0 otherwise.
        standardise (bool): Whether to standardise the logits of each cell
            over its classes first (`<https://arxiv.org/abs/2403.01427>`_).
            Defaults to False.
        valid_only (bool): Whether to exclude cells with most of their pixels
            ignored; this needs label maps. Defaults to False.
        ignore_index (int): Label of pixels to ignore. Defaults to 255.
        align_corners (bool): For resizing, as in the student's head. Defaults
            to False.
        kwargs: Arguments of :class:`Distiller`, such as ``loss_weight``, and
            ``weights`` of the terms.

    Raises:
        ConfigError: If an argument is invalid, or the divergence tells
            nothing about so few classes.
    """

    def __init__(self,
                 place: Literal['logits', 'dense_logits'] = 'logits',
                 student=None,
                 teacher=None,
                 divergence: Union[str, dict] = 'kl',
                 tau: Optional[float] = None,
                 standardise: bool = False,
                 valid_only: bool = False,
                 ignore_index: int = 255,
                 align_corners: bool = False,
                 **kwargs) -> None:
        check_choices('LogitsKD', LogitsKD, place=place)
        divergence, self.options = _read_divergence(divergence)
        chosen = DIVERGENCES[divergence]
        if place == 'dense_logits':
            if not chosen.for_sigmoids:
                raise ConfigError(
                    f'LogitsKD: {divergence!r} does not suit the sigmoids of '
                    "a dense head; set divergence='dist' or 'binary'")
            if divergence == 'dist':
                self.options['sigmoid'] = True
        # The place is the only role of this distiller.
        self.roles = (place, )
        self.default_weights = chosen.weights
        super().__init__(student=student, teacher=teacher, **kwargs)
        self.place = place
        self.divergence = divergence
        self.tau = chosen.tau if tau is None else tau
        check_tau('LogitsKD', tau=self.tau)
        self.by_class = chosen.needs_labels
        self.needs_labels = chosen.needs_labels or valid_only
        self.standardise = standardise
        self.valid_only = valid_only
        self.ignore_index = ignore_index
        self.align_corners = align_corners

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Check that both sides have the same classes."""
        super().setup(student, teacher)
        check_logits('LogitsKD', student[self.place], teacher[self.place])
        for spec in student[self.place]:
            self._check_classes(spec)

    def _check_classes(self, spec: TapSpec) -> None:
        """Check that the options make sense for the number of classes."""
        classes = f'{spec.path!r} has {spec.channels} class(es)'
        if spec.channels < DIVERGENCES[self.divergence].min_classes:
            raise ConfigError(
                f'LogitsKD: {classes}, whose softmax is always 1; set '
                "divergence='binary'")
        anchors = self.options.get('anchors', 1)
        if not isinstance(anchors, int) or spec.channels % anchors:
            raise ConfigError(
                f'LogitsKD: {spec.path!r} has {spec.channels} channels, which '
                f'are not those of {anchors} anchors')
        if spec.channels == 2 and self.standardise:
            raise ConfigError(
                f'LogitsKD: {classes}, and two standardised logits differ in '
                'their sign only; set standardise=False')
        if spec.channels // anchors == 2 and 'inter' in self.peak_weights():
            raise ConfigError(
                f'LogitsKD: {classes}, and the correlation of two '
                'probabilities is always 1 or -1; set weights=dict(inter=0)')

    def _levels(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str, List[Tensor]],
                batch: StepBatch) -> Iterator[Level]:
        """Both sides level by level, and which cells to include."""
        for logits_s, logits_t in zip(student[self.place],
                                      teacher[self.place]):
            size, classes = logits_s.shape[2:], None
            valid = labelled_cells(
                batch.labels, size,
                self.ignore_index) if self.valid_only else None
            if self.by_class:
                classes, known = cell_classes(batch.labels, size,
                                              logits_s.size(1),
                                              self.ignore_index)
                valid = known if valid is None else valid & known
            logits_t = match_size(logits_t, logits_s, self.align_corners)
            yield Level(logits_s, logits_t, valid, classes)

    def _distance(self, level: Level) -> Tuple[str, Tensor]:
        """What to draw of a level, whatever divergence is trained."""
        if self.place == 'dense_logits':
            return 'distance of the class scores', feature_distance(
                level.logits_s.float().sigmoid(),
                level.logits_t.float().sigmoid())
        return 'divergence over the classes', logits_distance(
            level.logits_s, level.logits_t, self.tau, level.valid)

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """The KL divergence of each cell, or the distance of sigmoids."""
        return [
            Heatmap(*self._distance(level), f'level {i}', changes=True)
            for i, level in enumerate(self._levels(student, teacher, batch))
        ]

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute the terms of the divergence, summed over the levels."""
        levels = [
            class_score_losses(self.divergence, level.logits_s, level.logits_t,
                               self.tau, level.valid, level.classes,
                               self.standardise, **self.options)
            for level in self._levels(student, teacher, batch)
        ]
        return {term: sum(x[term] for x in levels) for term in self.weights}
