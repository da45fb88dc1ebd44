"""Channel-wise distillation (CWD)."""
from typing import Dict, Iterator, List, Literal, Optional, Tuple, Union

from torch import Tensor, nn

from mmkd.core.balance import LossWeightLike
from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.logits import check_logits, check_tau
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual
from mmkd.errors import ConfigError
from mmkd.ops.channel_wise import channel_wise_divergence, spatial_log_softmax
from mmkd.ops.connectors import build_connector, match_size
from mmkd.ops.masks import labelled_cells
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices

#: Weight of the method at each place.
LOSS_WEIGHTS = dict(logits=3.0, stages=50.0, neck=50.0)


@DISTILLERS.register_module()
class CWD(Distiller):
    """Match the spatial distribution of the activation of each channel.

    `Channel-wise Knowledge Distillation for Dense Prediction
    <https://arxiv.org/abs/2011.13256>`_ (Shu et al., ICCV 2021). Each
    channel of a map, a class or a feature, becomes a distribution over the
    cells of the image; the divergence of the student's from the teacher's
    is averaged over channels and images. See
    :func:`channel_wise_divergence`.

    The authors' released code uses temperature 4 and weight 3 for segmentation
    logits. Weight 50 for features is commonly quoted, but not stated on the
    front page of their code. Other toolboxes use other values with the same
    formula (mmrazor: temperature 1 and weight 5 for PSPNet's logits). Of a
    backbone, only the last stage is compared by default, as published. There
    are two additions: several levels are summed, and invalid cells can be
    excluded, which is off by default.

    Args:
        place (str): Maps to distil: ``'logits'``, ``'stages'`` (the last stage
            of the backbone) or ``'neck'`` (all of its levels). It selects the
            standard taps and determines whether there are connectors: logits
            are compared class by class; the student's features pass through a
            connector. Defaults to ``'logits'``.
        student (str | list[str], optional): Taps (N, C, H, W) in the
            student, such as ``'backbone[2:4]'``, instead of the standard
            ones; all of their levels are compared. Defaults to None.
        teacher (str | list[str], optional): Taps (N, C', H', W') in the
            teacher, resized bilinearly to the student's size if they differ.
            Defaults to None.
        tau (float): Temperature. Defaults to 4.0.
        connector (str | dict | None): For features: ``'auto'`` (a 1x1
            convolution if the channels differ), None, or the config of a
            connector. Defaults to ``'auto'``.
        valid_only (bool): Whether to exclude cells with most of their pixels
            ignored; this needs label maps. Defaults to False.
        ignore_index (int): Label of pixels to ignore. Defaults to 255.
        align_corners (bool): See ``F.interpolate``. Defaults to False.
        loss_weight (float | str | dict, optional): Weight. Defaults to
            None: 3 on logits, 50 on features.
        kwargs: Arguments of :class:`Distiller`.
    """
    trials = ({}, dict(place='neck'), dict(place='stages'))

    def __init__(self,
                 place: Literal['logits', 'stages', 'neck'] = 'logits',
                 student=None,
                 teacher=None,
                 tau: float = 4.0,
                 connector: Union[str, dict, None] = 'auto',
                 valid_only: bool = False,
                 ignore_index: int = 255,
                 align_corners: bool = False,
                 loss_weight: Optional[LossWeightLike] = None,
                 **kwargs) -> None:
        check_choices('CWD', CWD, place=place)
        if place == 'logits' and connector not in ('auto', None):
            raise ConfigError(
                "CWD: logits take no connector; for features set place='"
                "stages' or place='neck'")
        # The place is the only role of this distiller.
        self.roles = (place, )
        self.last_stage = place == 'stages' and student is teacher is None
        if loss_weight is None:
            loss_weight = LOSS_WEIGHTS[place]
        super().__init__(
            student=student,
            teacher=teacher,
            loss_weight=loss_weight,
            **kwargs)
        check_tau('CWD', tau=tau)
        self.place = place
        self.tau = tau
        self.connector_cfg = connector
        self.valid_only = self.needs_labels = valid_only
        self.ignore_index = ignore_index
        self.align_corners = align_corners

    def check_levels(self, student: Dict[str, List[TapSpec]],
                     teacher: Dict[str, List[TapSpec]]) -> None:
        """If only the last stage counts, there may be any number."""
        if not self.last_stage:
            super().check_levels(student, teacher)

    def _compared(self, side: Dict[str, list]) -> list:
        """The levels of a side that are compared."""
        levels = side[self.place]
        return levels[-1:] if self.last_stage else levels

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Check the classes, or build a connector for each level."""
        super().setup(student, teacher)
        levels_s, levels_t = self._compared(student), self._compared(teacher)
        if self.place == 'logits':
            check_logits('CWD', levels_s, levels_t)
            connectors = [nn.Identity() for _ in levels_s]
        else:
            connectors = [
                build_connector(self.connector_cfg, spec_s.channels,
                                spec_t.channels)
                for spec_s, spec_t in zip(levels_s, levels_t)
            ]
        self.connectors = nn.ModuleList(connectors)

    def _levels(
            self, student: Dict[str, List[Tensor]],
            teacher: Dict[str, List[Tensor]], batch: StepBatch
    ) -> Iterator[Tuple[Tensor, Tensor, Optional[Tensor]]]:
        """Maps of both sides with equal shapes, and valid cells or None."""
        for connector, feat_s, feat_t in zip(self.connectors,
                                             self._compared(student),
                                             self._compared(teacher)):
            feat_s = connector(feat_s)
            feat_t = match_size(feat_t, feat_s, self.align_corners)
            valid = labelled_cells(
                batch.labels, feat_s.shape[2:],
                self.ignore_index) if self.valid_only else None
            yield feat_s, feat_t, valid

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Activity of both sides and its difference, averaged over the
        channels. A uniformly active channel has the value 1 in every
        cell."""
        visuals: List[Visual] = []
        for i, (feat_s, feat_t,
                valid) in enumerate(self._levels(student, teacher, batch)):
            size, level = feat_s.shape[2:], f'level {i}'
            share_t, share_s = (
                size.numel() *
                spatial_log_softmax(feat.float(), self.tau, valid).exp()
                for feat in (feat_t, feat_s))

            def heatmap(name: str, values: Tensor, **kwargs) -> Heatmap:
                values = values.mean(dim=1).unflatten(1, size)
                return Heatmap(name, values, level, **kwargs)

            visuals += [
                heatmap('activity of the teacher', share_t, scale=level),
                heatmap(
                    'activity of the student',
                    share_s,
                    scale=level,
                    changes=True),
                heatmap(
                    'difference of the activities', (share_t - share_s).abs(),
                    changes=True)
            ]
        return visuals

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``loss``, the sum over the levels."""
        return dict(
            loss=sum(
                channel_wise_divergence(feat_s, feat_t, self.tau, valid)
                for feat_s, feat_t, valid in self._levels(
                    student, teacher, batch)))
