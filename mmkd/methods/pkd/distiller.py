"""Distillation of features by Pearson correlation (PKD)."""
from typing import Dict, Iterator, List, Tuple, Union

from torch import Tensor

from mmkd.core.balance import LossWeightLike
from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.features import build_connectors, check_features
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Visual, distances
from mmkd.errors import ConfigError
from mmkd.methods.pkd.losses import pearson_loss
from mmkd.ops.connectors import match_size
from mmkd.registry import DISTILLERS


@DISTILLERS.register_module()
class PKD(Distiller):
    r"""Correlate each channel of the student's neck with the teacher's.

    `PKD: General Distillation Framework for Object Detectors via Pearson
    Correlation Coefficient <https://arxiv.org/abs/2207.02039>`_ (NeurIPS
    2022). Each channel is standardised over the batch on both sides:

    .. math::
        L = \sum_l \frac{1}{2} \mathrm{mean} (\hat S_l - \hat T_l)^2

    Levels are paired by index, not by stride. The method needs no ground
    truth. Formula and values are those of the released code; only the abstract
    of the paper was available. Unlike in the code, constant channels of the
    student get no gradient (the code's is about 1e6 times too large), widths
    are compared as well as heights before resizing, and the teacher is in eval
    mode.

    Args:
        student (str | list[str], optional): Taps (N, C, H, W) in the
            student. Defaults to None: the first four levels of the neck.
        teacher (str | list[str], optional): Taps (N, C', H', W') in the
            teacher. Defaults to None: likewise.
        connector (str | dict | None): None, as published, requires equal
            channels; ``'auto'`` adds a 1x1 convolution to the student if they
            differ. Defaults to None.
        resize_student (bool): Whether the student's map is resized to the
            teacher's size if they differ, instead of the teacher's to the
            student's. Defaults to True.
        min_std (float): Student channels whose standard deviation is at most
            this value get no gradient; 0 is the released behaviour. Defaults
            to 1e-6.
        loss_weight (float | str | dict): Weight or schedule. Defaults to 10.0,
            for one-stage pairs; in a config, to 6.0 for detectors of two
            stages. 6.0 is also published for a Swin teacher.
        kwargs: Arguments of :class:`Distiller`.

    Raises:
        ConfigError: If ``min_std`` is negative, or channels differ
            without a connector.
    """
    roles = ('pyramid', )
    two_stage_options = dict(loss_weight=6.0)
    trials = ({}, dict(connector='auto'))

    def __init__(self,
                 student=None,
                 teacher=None,
                 connector: Union[str, dict, None] = None,
                 resize_student: bool = True,
                 min_std: float = 1e-6,
                 loss_weight: LossWeightLike = 10.0,
                 **kwargs) -> None:
        super().__init__(
            student=student,
            teacher=teacher,
            loss_weight=loss_weight,
            **kwargs)
        if not isinstance(min_std, (int, float)) or not min_std >= 0:
            raise ConfigError('PKD: min_std is a number of at least 0, but '
                              f'got {min_std!r}')
        self.connector_cfg = connector
        self.resize_student = resize_student
        self.min_std = min_std

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Check the maps of both sides, and build the connectors."""
        super().setup(student, teacher)
        check_features(
            'PKD', student['pyramid'], teacher['pyramid'], resize=True)
        for spec_s, spec_t in zip(student['pyramid'], teacher['pyramid']):
            if (self.connector_cfg is None
                    and spec_s.channels != spec_t.channels):
                raise ConfigError(
                    f'PKD correlates channel by channel, but {spec_s.path!r} '
                    f'of the student has {spec_s.channels} channels and '
                    f'{spec_t.path!r} of the teacher {spec_t.channels}; tap '
                    "maps with equal channels, or set connector='auto'")
        self.connectors = build_connectors(self.connector_cfg,
                                           student['pyramid'],
                                           teacher['pyramid'])

    def _levels(
            self, student: Dict[str, List[Tensor]],
            teacher: Dict[str,
                          List[Tensor]]) -> Iterator[Tuple[Tensor, Tensor]]:
        """Maps of both sides at equal size, level by level."""
        for connector, feat_s, feat_t in zip(self.connectors,
                                             student['pyramid'],
                                             teacher['pyramid']):
            feat_s = connector(feat_s)
            if self.resize_student:
                yield match_size(feat_s, feat_t), feat_t.detach()
            else:
                yield feat_s, match_size(feat_t, feat_s).detach()

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """The distance of the maps of both sides, level by level."""
        maps_s, maps_t = zip(*self._levels(student, teacher))
        return distances(maps_s, maps_t)

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``loss``, the sum over the levels."""
        return dict(
            loss=sum(
                pearson_loss(feat_s, feat_t, self.min_std)
                for feat_s, feat_t in self._levels(student, teacher)))
