"""Pixel-wise distillation of logits."""
from typing import Dict, Iterator, List, Optional, Tuple

from torch import Tensor

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.logits import check_logits, check_tau
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual, logits_distance
from mmkd.ops.connectors import match_size
from mmkd.ops.divergences import kl_divergence
from mmkd.ops.masks import labelled_cells
from mmkd.registry import DISTILLERS


@DISTILLERS.register_module()
class LogitsKD(Distiller):
    """Match the class probabilities of each cell.

    `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_ by Hinton et al., applied to every
    cell of segmentation logits. This is the pixel-wise term of `Structured
    Knowledge Distillation for Semantic Segmentation
    <https://arxiv.org/abs/1903.04197>`_. See
    :func:`kl_divergence`. It is the baseline for methods on logits.

    The divergence is summed over classes; some published code averages over
    them. The weight depends on the task and is not taken from a paper.

    Args:
        student (str | list[str], optional): Taps of the student's logits
            (N, C, H, W); levels are summed. Defaults to None, the main head.
        teacher (str | list[str], optional): Taps of the teacher's logits
            (N, C, H', W'), resized bilinearly to the student's size if they
            differ. Defaults to None.
        tau (float): Temperature. Defaults to 1.0.
        valid_only (bool): Whether to exclude cells with most of their pixels
            ignored; this needs label maps. Defaults to False.
        ignore_index (int): Label of pixels to ignore. Defaults to 255.
        align_corners (bool): For resizing, as in the student's head. Defaults
            to False.
        kwargs: Arguments of :class:`Distiller`, such as ``loss_weight``.
    """

    roles = ('logits', )

    def __init__(self,
                 student=None,
                 teacher=None,
                 tau: float = 1.0,
                 valid_only: bool = False,
                 ignore_index: int = 255,
                 align_corners: bool = False,
                 **kwargs) -> None:
        super().__init__(student=student, teacher=teacher, **kwargs)
        check_tau('LogitsKD', tau=tau)
        self.tau = tau
        self.valid_only = valid_only
        self.ignore_index = ignore_index
        self.align_corners = align_corners

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Check that both sides have the same classes."""
        super().setup(student, teacher)
        check_logits('LogitsKD', student['logits'], teacher['logits'])

    def _levels(
            self, student: Dict[str, List[Tensor]],
            teacher: Dict[str, List[Tensor]], batch: StepBatch
    ) -> Iterator[Tuple[Tensor, Tensor, Optional[Tensor]]]:
        """Logits of both sides on one grid, and valid cells or None."""
        for logits_s, logits_t in zip(student['logits'], teacher['logits']):
            valid = labelled_cells(
                batch.labels, logits_s.shape[2:],
                self.ignore_index) if self.valid_only else None
            yield (logits_s, match_size(logits_t, logits_s,
                                        self.align_corners), valid)

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """The divergence of the class scores."""
        return [
            Heatmap(
                'divergence over the classes',
                logits_distance(logits_s, logits_t, self.tau, valid),
                f'level {i}',
                changes=True)
            for i, (logits_s, logits_t,
                    valid) in enumerate(self._levels(student, teacher, batch))
        ]

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``loss``, the sum over the levels."""
        return dict(
            loss=sum(
                kl_divergence(logits_s, logits_t, self.tau, valid)
                for logits_s, logits_t, valid in self._levels(
                    student, teacher, batch)))
