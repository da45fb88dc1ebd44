"""Distillation of similarities (SimilarityKD)."""
from typing import Dict, Iterator, List, Literal, Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather
from torch import Tensor, nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller, TapsLike
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.similarity_kd.losses import cell_loss, queue_loss
from mmkd.ops.connectors import match_size
from mmkd.ops.precision import full_precision
from mmkd.ops.vectors import unit
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices

#: LightlyTrain's lengths of the queue: for data sets of fewer images than the
#: first number, the second one.
_LENGTHS = ((50, 16), (100, 32), (250, 64), (500, 128), (1000, 256),
            (2000, 512), (4000, 1024), (10000, 2048), (20000, 4096))
_LONGEST = 8192


@full_precision
def _embed(head: nn.Module, feat: Tensor) -> Tensor:
    """What a head makes of an averaged map; similarities divided by the
    temperature need more than the digits of bfloat16."""
    return head(feat.mean(dim=(2, 3)))


def _averaged(summary: Tensor) -> Tensor:
    """A summary (N, D), or the mean of a map (N, D, H, W), in float32."""
    summary = summary.float()
    return summary.mean(dim=(2, 3)) if summary.dim() == 4 else summary


@DISTILLERS.register_module()
class SimilarityKD(Distiller):
    r"""Match what is similar: images to images, and cells to cells.

    The losses of LightlyTrain's distillation (its versions 1 and 3), after
    their description. With the embedding z of the student's image, t of the
    teacher's and a queue Q of teacher embeddings, all of length 1,

    .. math::
        L_{global} = \mathrm{KL}(\mathrm{softmax}(t Q^T / \tau) \,\|\,
        \mathrm{softmax}(z Q^T / \tau))

    and, for the cells of the teacher's map T and the student's projected one,

    .. math::
        L_{local} = \mathrm{KL}(\mathrm{softmax}(T T^T / \tau) \,\|\,
        \mathrm{softmax}(S S^T / \tau))

    Args:
        student (str | list[str], optional): Taps (N, C, H, W) in the
            student, of which the last one counts. Defaults to None: the place
            ``'stages'``.
        teacher (dict, optional): Taps by role: ``stages``, likewise, and
            ``summary``, (N, D) or a map that is averaged. Defaults to None:
            the places of these names.
        preset (str): ``'default'``, or ``'lightly_v1'``: LightlyTrain's
            version 1, which has the global term alone, reads no ``stages`` of
            the teacher, and in which the rows of the queue that are not
            filled yet count. Defaults to ``'default'``.
        queue_size (int, optional): Number of embeddings in the queue, below
            that of the images. Defaults to None: by the number of images,
            from 16 for less than 50 to 8192 for 20,000 and more, as
            LightlyTrain; without
            :class:`~mmkd.engine.hooks.StatisticsHook`, 8192.
        tau (float): Temperature. Defaults to 0.07.
        max_tokens (int): Number of cells above which maps are averaged, since
            the local term is quadratic in it. Our choice. Defaults to 784.
        kwargs: Arguments of :class:`Distiller`; ``weights`` of the terms
            ``global_`` and ``local``.

    Raises:
        ConfigError: If an option is not positive or no choice, a tap gives no
            map, or there are not more images than embeddings in the queue.
    """
    roles = ('stages', )
    teacher_roles = ('stages', 'summary')
    default_weights = dict(global_=1.0, local=1.0)

    queue: Tensor

    def __init__(self,
                 student: TapsLike = None,
                 teacher: TapsLike = None,
                 preset: Literal['default', 'lightly_v1'] = 'default',
                 queue_size: Optional[int] = None,
                 tau: float = 0.07,
                 max_tokens: int = 784,
                 **kwargs) -> None:
        check_choices('SimilarityKD', SimilarityKD, preset=preset)
        self.keep_empty = preset == 'lightly_v1'
        if self.keep_empty:
            self.default_weights = dict(global_=1.0)
            self.teacher_roles = ('summary', )
        super().__init__(student=student, teacher=teacher, **kwargs)
        self.by_images = queue_size is None
        self.queue_size = _LONGEST if queue_size is None else queue_size
        if min(self.queue_size, tau, max_tokens) <= 0:
            raise ConfigError(
                'SimilarityKD: queue_size, tau and max_tokens are positive, '
                f'but got {queue_size}, {tau} and {max_tokens}')
        self.tau = tau
        self.max_tokens = max_tokens

    def check_levels(self, student: Dict[str, List[TapSpec]],
                     teacher: Dict[str, List[TapSpec]]) -> None:
        """Only the last level counts, so there may be any number."""

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Build the projections and the queue."""
        super().setup(student, teacher)
        own, summary = student['stages'][-1], teacher['summary'][-1]
        theirs = teacher['stages'][-1] if 'local' in self.weights else None
        for spec, dims in ((own, (4, )), (theirs, (4, )), (summary, (2, 4))):
            if spec and len(spec.shape) not in dims:
                raise ConfigError(
                    'SimilarityKD needs maps (N, C, H, W) and a summary (N, '
                    f'D), but {spec.path!r} gives the shape {spec.shape}')
        width = summary.shape[1]
        self.global_head = nn.Linear(own.channels, width)
        self.local_head = nn.Conv2d(own.channels, theirs.channels,
                                    1) if theirs else None
        self.register_buffer('queue', torch.zeros(self.queue_size, width))

    def before_training(self, batches: Iterator[Dict[str, List[Tensor]]],
                        images: int) -> None:
        """Choose the length of the queue.

        The buffer keeps its size, so that any checkpoint can be loaded; rows
        beyond the length stay empty.
        """
        if self.by_images:
            self.queue_size = next(
                (length for limit, length in _LENGTHS if images < limit),
                _LONGEST)
        if self.queue_size >= images:
            raise ConfigError(
                f'SimilarityKD: a queue of {self.queue_size} embeddings needs '
                f'more images, but the training data have {images}; set a '
                'smaller queue_size')

    def _with_queue(self, embed: Tensor) -> Tensor:
        """The queue with the embeddings of this step, of all processes, at
        the front; in training it stays so."""
        new = torch.cat(all_gather(unit(embed).contiguous()))
        queue = torch.cat([new, self.queue])[:self.queue_size]
        if self.training:
            self.queue[:len(queue)] = queue
        return queue

    def compared(self, student: Dict[str, List[Tensor]],
                 teacher: Dict[str, List[Tensor]]) -> Tuple[Tensor, Tensor]:
        """Maps of the last level, or embeddings, as they are compared."""
        if self.local_head is None:
            return (_embed(self.global_head, student['stages'][-1]),
                    _averaged(teacher['summary'][-1]))
        return self.local_head(student['stages'][-1]), teacher['stages'][-1]

    def _fewer_cells(self, feat: Tensor) -> Tensor:
        height, width = feat.shape[2:]
        ratio = (self.max_tokens / (height * width))**.5
        if ratio >= 1:
            return feat
        return F.adaptive_avg_pool2d(
            feat.float(),
            (max(1, int(height * ratio)), max(1, int(width * ratio))))

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``global_`` and ``local``, as far as they are active."""
        feat_s = student['stages'][-1]
        found = {}
        if 'global_' in batch.active_terms:
            embed_t = _averaged(teacher['summary'][-1])
            found['global_'] = queue_loss(
                _embed(self.global_head, feat_s), embed_t,
                self._with_queue(embed_t), self.tau, self.keep_empty)
        if self.local_head is not None and 'local' in batch.active_terms:
            feat_t = teacher['stages'][-1]
            feat_s = match_size(self.local_head(feat_s), feat_t)
            found['local'] = cell_loss(
                self._fewer_cells(feat_s), self._fewer_cells(feat_t), self.tau)
        return found
