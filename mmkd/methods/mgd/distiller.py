"""Masked generative distillation (MGD)."""
import logging
from typing import (Any, Dict, Iterator, List, Literal, Mapping, Optional,
                    Tuple, Union)

from mmengine.logging import print_log
from torch import Tensor, nn

from mmkd.core.balance import LossWeightLike
from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.features import build_connectors, check_features, match_student
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual, feature_distance
from mmkd.errors import ConfigError
from mmkd.ops.distances import squared_distance
from mmkd.ops.generation import GenerationBlock, random_cells, random_channels
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices, fill_from_preset

#: Published weight and fraction of masked cells by kind of student.
PRESETS = dict(
    one_stage=dict(loss_weight=2e-5, mask_ratio=0.65),
    two_stage=dict(loss_weight=5e-7, mask_ratio=0.45),
    segmentation=dict(loss_weight=2e-5, mask_ratio=0.75))
#: Published fraction of masked channels, of classifiers.
CHANNEL_RATIO = 0.15
# Number of parameters that causes a warning: 128 MB of weights in float32.
_MANY = 1 << 25


@DISTILLERS.register_module()
class MGD(Distiller):
    r"""Generate the teacher's whole map from a part of the student's map.

    `Masked Generative Distillation <https://arxiv.org/abs/2205.01529>`_
    (Yang et al., ECCV 2022). Random cells of the student's map are set to 0
    (B), and a block G of two convolutions reconstructs the teacher's map in
    all cells:

    .. math::
        L = \frac{1}{N} \sum \left(G(f(F_S) \cdot B) - F_T\right)^2

    summed over channels, cells and levels, and averaged over the images. f is
    a 1x1 convolution if the channels differ. f and G have separate weights at
    each level; they are trained with the student but are not part of it.
    Unlike in dropout, the remaining values are not scaled up. The method needs
    no ground truth.

    Since the loss is a sum, a suitable weight depends on the number of cells
    and channels. The published segmentation runs add CWD on the logits
    (temperature 4, weight 3), here as a second distiller.

    Args:
        student (str | list[str], optional): Taps (N, C, H, W) in the
            student. Defaults to None: the levels of the neck, or the last
            stage of the backbone if there is no neck.
        teacher (str | list[str], optional): Taps (N, C', H', W') in the
            teacher. Defaults to None.
        preset (str): Selects the published defaults of ``mask_ratio`` and
            ``loss_weight``: ``'one_stage'``
            (RetinaNet, RepPoints, SOLO), ``'two_stage'`` (Faster and Mask
            R-CNN) or ``'segmentation'``. Defaults to ``'one_stage'``; in a
            config, to ``'two_stage'`` for detectors of two stages and to
            ``'segmentation'`` for segmentors.
        mask_ratio (float, optional): Fraction of cells or channels that are
            set to 0. Defaults to None: 0.65, 0.45 or 0.75 of the cells, 0.15
            of the channels.
        mask (str): What is set to 0: ``'cells'``, or ``'channels'`` as in the
            published runs of classifiers. Defaults to ``'cells'``.
        connector (str | dict | None): f: ``'auto'`` (a 1x1 convolution if
            the channels differ), None, or the config of a connector. Defaults
            to ``'auto'``.
        gen_channels (int, optional): Hidden channels of G. Defaults to None:
            those of the teacher, as published, which gives 75 million weights
            for a map with 2048 channels.
        reduction (str): ``'sum_per_image'`` or ``'mean'``; the published
            weights are for the former. Defaults to ``'sum_per_image'``.
        resize (bool): Whether to resize the student's map bilinearly to the
            teacher's size; otherwise, different sizes are an error. Defaults
            to False.
        loss_weight (float | str | dict, optional): Weight. Defaults to
            None: 2e-5, 5e-7 or 2e-5.
        kwargs: Arguments of :class:`Distiller`.
    """

    roles = ('features', )

    two_stage_options = dict(preset='two_stage')

    def __init__(self,
                 student=None,
                 teacher=None,
                 preset: str = 'one_stage',
                 mask_ratio: Optional[float] = None,
                 mask: Literal['cells', 'channels'] = 'cells',
                 connector: Union[str, dict, None] = 'auto',
                 gen_channels: Optional[int] = None,
                 reduction: Literal['sum_per_image', 'mean'] = 'sum_per_image',
                 resize: bool = False,
                 loss_weight: Optional[LossWeightLike] = None,
                 **kwargs) -> None:
        check_choices('MGD', MGD, mask=mask, reduction=reduction)
        if mask == 'channels' and mask_ratio is None:
            mask_ratio = CHANNEL_RATIO
        values = fill_from_preset(
            'MGD',
            PRESETS,
            preset,
            mask_ratio=mask_ratio,
            loss_weight=loss_weight)
        super().__init__(
            student=student,
            teacher=teacher,
            loss_weight=values['loss_weight'],
            **kwargs)
        mask_ratio = values['mask_ratio']
        if not isinstance(mask_ratio,
                          (int, float)) or not (0 <= mask_ratio <= 1):
            raise ConfigError('MGD: mask_ratio is a share in [0, 1], but got '
                              f'{mask_ratio!r}')
        if gen_channels is not None and (not isinstance(gen_channels, int)
                                         or gen_channels < 1):
            raise ConfigError('MGD: gen_channels is a number of channels, but '
                              f'got {gen_channels!r}')
        self.mask_ratio, self.mask = mask_ratio, mask
        self.connector_cfg = connector
        self.gen_channels = gen_channels
        self.reduction = reduction
        self.resize = resize

    @classmethod
    def settled_options(
            cls, student: Mapping[str, Any],
            teachers: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
        """See the base class; of a segmentor, the preset as well."""
        if 'num_classes' in student:
            return dict(preset='segmentation')
        return super().settled_options(student, teachers)

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Build a connector and a generation block for each level."""
        super().setup(student, teacher)
        levels_s, levels_t = student['features'], teacher['features']
        check_features('MGD', levels_s, levels_t, self.resize)
        self.connectors = build_connectors(self.connector_cfg, levels_s,
                                           levels_t)
        self.generators = nn.ModuleList(
            GenerationBlock(spec.channels, self.gen_channels)
            for spec in levels_t)
        count = sum(p.numel() for p in self.generators.parameters())
        if count > _MANY:
            print_log(
                f'MGD: the generation blocks have {count:,} parameters; '
                '`gen_channels` makes them smaller', 'current',
                logging.WARNING)

    def _generate(
        self, student: Dict[str, List[Tensor]], teacher: Dict[str,
                                                              List[Tensor]]
    ) -> Iterator[Tuple[Tensor, Tensor, Tensor]]:
        """What is kept, (N, 1, H, W) or (N, C, 1, 1), the generated map, and
        the teacher's map, level by level."""
        draw = random_cells if self.mask == 'cells' else random_channels
        for connector, generator, feat_s, feat_t in zip(
                self.connectors, self.generators, student['features'],
                teacher['features']):
            feat_s = match_student('MGD', connector(feat_s), feat_t,
                                   self.resize)
            kept = draw(feat_s, self.mask_ratio)
            yield kept, generator(feat_s * kept), feat_t.detach()

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """One random draw of the kept cells, unless channels are masked, and
        the distance between the generated and the teacher's map, level by
        level."""
        visuals: List[Visual] = []
        for i, (kept, generated,
                feat_t) in enumerate(self._generate(student, teacher)):
            if self.mask == 'cells':
                visuals.append(
                    Heatmap(
                        'kept cells (one draw)',
                        kept[:, 0],
                        f'level {i}',
                        limits=(0, 1),
                        color='cyan'))
            visuals.append(
                Heatmap(
                    'distance of the generated map',
                    feature_distance(generated, feat_t),
                    f'level {i}',
                    changes=True))
        return visuals

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``loss``, the sum over the levels."""
        return dict(
            loss=sum(
                squared_distance(generated, feat_t, self.reduction)
                for _, generated, feat_t in self._generate(student, teacher)))
