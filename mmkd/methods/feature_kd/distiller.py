"""Distillation of features by cosine and smooth L1 (FeatureKD)."""
from typing import Any, Dict, Iterator, List, Literal, Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from torch import Tensor, nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller, TapsLike
from mmkd.core.taps.tap import Tap, TapSpec
from mmkd.core.visuals import Colours, Visual, distances, principal_colours
from mmkd.errors import ConfigError
from mmkd.methods.feature_kd.losses import feature_loss
from mmkd.methods.feature_kd.phi import PhiStatistics
from mmkd.methods.feature_kd.statistics import ChannelStatistics
from mmkd.ops.connectors import match_size
from mmkd.ops.precision import full_precision
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices, fill_from_preset
from mmkd.utils.devices import send

_DEFAULT = dict(
    loss='cos_l1',
    standardise='channel',
    reduction='mean',
    projector='linear',
    resize_to='student',
    cosine_of='cell',
    join_levels=False,
    summary=False)
_RADIO = dict(_DEFAULT, standardise='phi', projector='mlp', summary=True)
_SQUARE = dict(_DEFAULT, loss='mse', standardise='none')
#: Options of each preset.
PRESETS = dict(
    default=_DEFAULT,
    radio=_RADIO,
    eupe=dict(_RADIO, standardise='none'),
    theia=dict(_DEFAULT, cosine_of='map'),
    lightly_v2=dict(_SQUARE, resize_to='teacher', join_levels=True),
    dsi=dict(_DEFAULT, loss='cos', standardise='none'),
    edgecrafter=dict(_SQUARE, reduction='sum'),
    libreyolo=dict(_SQUARE, resize_to='teacher'))

Loss = Optional[Literal['cos_l1', 'cos', 'smooth_l1', 'mse']]
Standardise = Optional[Literal['none', 'layer', 'channel', 'global', 'phi']]


@DISTILLERS.register_module()
class FeatureKD(Distiller):
    r"""Match projected maps of the student to standardised ones of a teacher.

    What `AM-RADIO <https://arxiv.org/abs/2312.06709>`_, `Theia
    <https://arxiv.org/abs/2407.20179>`_ and RT-DETRv4 do to distil foundation
    models, for any teacher. At each cell,

    .. math::
        L = \alpha (1 - \cos(g(S), T')) + \beta \, \mathrm{smoothL1}(g(S), T')

    where g is a projection that is trained and T' the teacher's standardised
    map. The mean is taken over the cells that hold image, not padding.
    One map of the teacher serves all maps of the student; several are paired
    in order. The term ``summary`` compares what both say of the whole image,
    by the cosine; the student's is the mean of its last map.

    Args:
        student (str | list[str], optional): Taps (N, C, H, W) in the
            student. Defaults to None: the place ``'features'``.
        teacher (str | list[str], optional): Taps (N, C', H', W') in the
            teacher, one or as many. Defaults to None: likewise.
        preset (str): Defaults of the options below: ``'default'``,
            ``'radio'``, ``'eupe'``, ``'theia'``, ``'lightly_v2'``,
            ``'dsi'`` (RT-DETRv4's deep semantic injector),
            ``'edgecrafter'`` or ``'libreyolo'``. Defaults to ``'default'``.
        loss (str, optional): ``'cos_l1'``, ``'cos'``, ``'smooth_l1'`` or
            ``'mse'``. Defaults to None: that of the preset.
        alpha (float): Weight of the cosine in ``'cos_l1'``. Defaults to 0.9.
        beta (float): Weight of smooth L1 in ``'cos_l1'``. Defaults to 0.1.
        standardise (str, optional): ``'channel'``, ``'global'`` (one
            deviation for all channels) or ``'phi'`` (the same, and a rotation
            that gives all channels the same variance) by the statistics of
            the teacher; ``'layer'``, over the channels of a cell; or
            ``'none'``. Defaults to None: that of the preset.
        calibration (int): Without
            :class:`~mmkd.engine.hooks.StatisticsHook`, which gathers the
            statistics before the training, iterations whose batches make them
            up; ``'phi'`` rotates from then on. Our choice. Defaults to 200.
        projector (str, optional): ``'linear'``, a 1x1 convolution, or
            ``'mlp'``, two with a layer normalisation and a GELU between.
            Defaults to None: that of the preset.
        resize_to (str, optional): Whose cells are compared, ``'student'`` or
            ``'teacher'``; the other map is resized. Defaults to None: that
            of the preset.
        reduction (str, optional): ``'mean'`` or ``'sum'`` over the levels.
            Defaults to None: that of the preset.
        cosine_of (str, optional): Vectors whose cosine counts: ``'cell'``, or
            ``'map'``, the whole map of an image. Defaults to None: that of
            the preset.
        join_levels (bool, optional): Whether the teacher's maps are joined
            along their channels. Defaults to None: that of the preset.
        summary (bool, optional): Whether to add the term ``summary``, which
            reads the role ``summary`` of the teacher: (N, D), or a map, which
            is averaged. Defaults to None: that of the preset.
        kwargs: Arguments of :class:`Distiller`.

    Raises:
        ConfigError: If an option is not one of these, or levels cannot be
            paired.
    """
    roles = ('features', )
    steps: Tensor

    def __init__(self,
                 student: TapsLike = None,
                 teacher: TapsLike = None,
                 preset: str = 'default',
                 loss: Loss = None,
                 alpha: float = 0.9,
                 beta: float = 0.1,
                 standardise: Standardise = None,
                 calibration: int = 200,
                 projector: Optional[Literal['linear', 'mlp']] = None,
                 resize_to: Optional[Literal['student', 'teacher']] = None,
                 reduction: Optional[Literal['mean', 'sum']] = None,
                 cosine_of: Optional[Literal['cell', 'map']] = None,
                 join_levels: Optional[bool] = None,
                 summary: Optional[bool] = None,
                 **kwargs) -> None:
        flags = fill_from_preset(
            'FeatureKD',
            PRESETS,
            preset,
            join_levels=join_levels,
            summary=summary)
        chosen = fill_from_preset(
            'FeatureKD',
            PRESETS,
            preset,
            loss=loss,
            standardise=standardise,
            reduction=reduction,
            projector=projector,
            resize_to=resize_to,
            cosine_of=cosine_of)
        check_choices('FeatureKD', FeatureKD, **chosen)
        if min(alpha, beta) < 0 or alpha + beta <= 0 or calibration < 1:
            raise ConfigError(
                'FeatureKD: alpha and beta are not negative and not both 0, '
                'and calibration is a number of iterations, but got '
                f'{alpha}, {beta} and {calibration}')
        if flags['summary']:
            self.teacher_roles = ('features', 'summary')
            self.default_weights = dict(loss=1., summary=1.)
            teacher = _with_summary(teacher)
        super().__init__(student=student, teacher=teacher, **kwargs)
        self.loss_options = dict(
            cos_l1=dict(cosine=alpha, smooth_l1=beta),
            cos=dict(cosine=1., smooth_l1=0.),
            smooth_l1=dict(cosine=0., smooth_l1=1.),
            mse=dict(cosine=0., smooth_l1=0., mse=1.))[chosen['loss']]
        self.loss_options['whole'] = chosen['cosine_of'] == 'map'
        self.join_levels = flags['join_levels']
        self.summary = flags['summary']
        self.standardise = chosen['standardise']
        self.reduction = chosen['reduction']
        self.calibration, self.projector = calibration, chosen['projector']
        self.to_student = chosen['resize_to'] == 'student'
        # Iterations in which the method was active, and what the host knows
        # of it without waiting.
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))
        self._steps = 0

    def check_levels(self, student: Dict[str, List[TapSpec]],
                     teacher: Dict[str, List[TapSpec]]) -> None:
        """One map of the teacher serves any number of the student's."""
        if len(teacher['features']) != 1 and not self.join_levels:
            super().check_levels(student, teacher)

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Build the projections and the statistics."""
        super().setup(student, teacher)
        specs_s, specs_t = student['features'], teacher['features']
        for spec in (*specs_s, *specs_t):
            if len(spec.shape) != 4:
                raise ConfigError(
                    'FeatureKD compares maps (N, C, H, W), but '
                    f'{spec.path!r} gives the shape {spec.shape}')
        self.in_image = [spec.input_size is not None for spec in specs_s]
        channels = [spec.channels for spec in specs_t]
        if self.join_levels:
            channels = [sum(channels)]
        self.projectors = nn.ModuleList(
            _projector(self.projector, spec.channels, channels[i %
                                                               len(channels)])
            for i, spec in enumerate(specs_s))
        self.channels = channels
        self.statistics = None
        if self.standardise == 'phi':
            self.statistics = nn.ModuleList(map(PhiStatistics, channels))
        elif self.standardise in ('channel', 'global'):
            self.statistics = nn.ModuleList(
                ChannelStatistics(count, self.standardise == 'global')
                for count in channels)
        if self.summary:
            self.summary_head = nn.Linear(specs_s[-1].channels,
                                          teacher['summary'][-1].shape[1])

    def before_training(self, batches: Iterator[Dict[str, List[Tensor]]],
                        images: int) -> None:
        """Gather statistics of at least 64 images, and of ten cells for each
        channel."""
        if self.statistics is None or self._steps:
            return
        seen = 0
        while seen < 64 or any(
                x.cells < 10 * channels
                for x, channels in zip(self.statistics, self.channels)):
            maps = self._joined(next(batches)['features'])
            seen += len(maps[0]) * get_world_size()
            for statistics, feat in zip(self.statistics, maps):
                statistics.add(feat)
        if self.standardise == 'phi':
            for statistics in self.statistics:
                statistics.settle()
        self._steps = self.calibration + 1
        self.steps.fill_(self._steps)

    def _joined(self, teacher: List[Tensor]) -> List[Tensor]:
        """The teacher's maps, or one of all their channels."""
        if not self.join_levels:
            return teacher
        return [
            torch.cat([match_size(feat, teacher[-1]) for feat in teacher],
                      dim=1)
        ]

    def _standardised(self, teacher: List[Tensor]) -> List[Tensor]:
        """The teacher's maps; the statistics see those of this batch."""
        if self.standardise == 'layer':
            return [
                F.layer_norm(
                    feat.float().movedim(1, -1), feat.shape[1:2],
                    eps=1e-6).movedim(-1, 1) for feat in teacher
            ]
        if self.statistics is None:
            return teacher
        if self.training and self._steps <= self.calibration:
            for statistics, feat in zip(self.statistics, teacher):
                if self._steps < self.calibration:
                    statistics.add(feat)
                elif self.standardise == 'phi':
                    statistics.settle()
            self._steps += 1
            self.steps += 1
        return [
            statistics.standardise(feat)
            for statistics, feat in zip(self.statistics, teacher)
        ]

    def _levels(self, student: List[Tensor],
                teacher: List[Tensor]) -> Iterator[Tuple[Tensor, Tensor]]:
        """Maps of both sides at equal size, level by level."""
        targets = self._standardised(self._joined(teacher))
        for i, (projector, feat) in enumerate(zip(self.projectors, student)):
            feat_s, feat_t = projector(feat), targets[i % len(targets)]
            if not self.to_student:
                yield match_size(feat_s, feat_t), feat_t
            elif feat_s.shape[2:] == feat_t.shape[2:]:
                yield feat_s, feat_t
            else:  # a smaller map is averaged, not sampled
                yield feat_s, F.interpolate(
                    feat_t.float(),
                    feat_s.shape[2:],
                    mode='bilinear',
                    align_corners=False,
                    antialias=True)

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``loss``, the mean or the sum over the levels, and
        ``summary`` if it is active."""
        found = [
            feature_loss(feat_s, feat_t,
                         image_cells(batch, feat_s) if in_image else None,
                         **self.loss_options)
            for in_image, (feat_s, feat_t) in zip(
                self.in_image,
                self._levels(student['features'], teacher['features']))
        ]
        total = sum(found[1:], found[0])
        losses = dict(loss=total if self.reduction == 'sum' else total /
                      len(found))
        if 'summary' in batch.active_terms:
            losses['summary'] = _summary_loss(self.summary_head,
                                              student['features'][-1],
                                              teacher['summary'][-1])
        return losses

    def compared(self, student: Dict[str, List[Tensor]],
                 teacher: Dict[str, List[Tensor]]) -> Tuple[Tensor, Tensor]:
        """Maps of the last level, as they are compared."""
        return list(self._levels(student['features'], teacher['features']))[-1]

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """The distance of the maps of both sides, level by level, and their
        colours by the principal components of the teacher's."""
        maps_s, maps_t = zip(
            *self._levels(student['features'], teacher['features']))
        visuals: List[Visual] = distances(maps_s, maps_t)
        for i, (feat_s, feat_t) in enumerate(zip(maps_s, maps_t)):
            colours = principal_colours([feat_s, feat_t], feat_t)
            visuals += [
                Colours(f'features of the {side}', found, f'level {i}')
                for side, found in zip(('student', 'teacher'), colours)
            ]
        return visuals

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args:
                              Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._steps = int(self.steps)


@full_precision
def _summary_loss(head: nn.Module, feat_s: Tensor,
                  summary_t: Tensor) -> Tensor:
    """Mean over the images of 1 - cosine."""
    if summary_t.dim() == 4:
        summary_t = summary_t.mean(dim=(2, 3))
    return 1 - F.cosine_similarity(head(feat_s.mean(dim=(2, 3))),
                                   summary_t).mean()


def _with_summary(teacher: TapsLike) -> TapsLike:
    """The teacher's taps by role; the summary is that of the network of the
    map."""
    if teacher is None or isinstance(teacher,
                                     dict) and 'module' not in teacher:
        return teacher
    first = teacher[0] if isinstance(teacher, (list, tuple)) else teacher
    network = Tap.parse(first).network
    return dict(
        features=teacher, summary=f'{network}:summary' if network else None)


def _projector(kind: str, in_channels: int, out_channels: int) -> nn.Module:
    """A projection from the student's channels to the teacher's."""
    if kind == 'linear':
        conv = nn.Conv2d(in_channels, out_channels, 1)
        nn.init.trunc_normal_(conv.weight, std=0.02)
        nn.init.zeros_(conv.bias)
        return conv
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 1, bias=False),
        _LayerNorm(in_channels), nn.GELU(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False))


class _LayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each cell of a map."""

    def forward(self, feat: Tensor) -> Tensor:
        return super().forward(feat.movedim(1, -1)).movedim(-1, 1)


def image_cells(batch: StepBatch, feat: Tensor) -> Optional[Tensor]:
    """The cells of a map that hold no padding.

    Args:
        batch (StepBatch): The batch.
        feat (Tensor): A map over its images, (N, C, H, W).

    Returns:
        Tensor | None: Bool map (N, 1, H, W); None if there is no padding.
    """
    sizes = batch.image_sizes if batch.data_samples else []
    if len(sizes) != len(feat) or all(x == batch.input_size for x in sizes):
        return None
    rows = [
        (torch.arange(1, cells + 1)[None] * (full / cells)
         <= torch.tensor([size[axis] for size in sizes])[:, None])
        for axis, (cells,
                   full) in enumerate(zip(feat.shape[2:], batch.input_size))
    ]
    valid = rows[0][:, None, :, None] & rows[1][:, None, None, :]
    return send(valid, feat.device)
