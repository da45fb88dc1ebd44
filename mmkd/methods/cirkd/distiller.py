"""Cross-image relational distillation (CIRKD)."""
from typing import Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.dist import all_gather
from torch import Tensor, nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller, TapsLike
from mmkd.core.logits import check_tau
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual
from mmkd.errors import ConfigError
from mmkd.methods.cirkd.losses import batch_loss, cells_of, memory_loss
from mmkd.methods.cirkd.memory import (ClassQueue, choose_cells, class_means,
                                       class_members)
from mmkd.ops.connectors import match_size
from mmkd.ops.masks import labelled_cells
from mmkd.ops.precision import full_precision
from mmkd.ops.vectors import unit
from mmkd.registry import DISTILLERS


def _maps(student: Dict[str, List[Tensor]],
          teacher: Dict[str, List[Tensor]]) -> Tuple[Tensor, Tensor]:
    """The map of each side, at the student's size."""
    feat_s = student['classifier_input'][0]
    return feat_s, match_size(teacher['classifier_input'][0], feat_s)


@DISTILLERS.register_module()
class CIRKD(Distiller):
    r"""Match the similarities of pixels to pixels and regions of all images.

    `Cross-Image Relational Knowledge Distillation for Semantic Segmentation
    <https://arxiv.org/abs/2204.06986>`_ (Yang et al., CVPR 2022). A cell is
    described by the probabilities that a softmax makes of its similarities
    to others, and the student's description is to be the teacher's. The
    others are

    - ``batch``: the cells of each image of the batch; student and teacher
      compare within their own map (:func:`batch_loss`);
    - ``pixel``: vectors of cells of earlier images, from a queue for each
      class;
    - ``region``: mean vectors of the classes in earlier images, likewise.

    The queues hold the teacher's vectors of all processes, and are equal in
    all of them. A head of two 1x1 convolutions maps the student's cells to
    the teacher's channels for ``pixel`` and ``region``
    (:func:`memory_loss`). It and the queues are part of checkpoints, so that
    a run resumes exactly, and are not exported.

    The published runs add the KL divergence of the class scores at
    temperature 1, here :class:`~mmkd.methods.logits_kd.LogitsKD` as a second
    distiller.

    Args:
        student (str | list[str], optional): Tap (N, C, H, W) in the student.
            Defaults to None: the input of the classifier, after dropout.
        teacher (str | list[str], optional): Tap (N, C', H', W') in the
            teacher, resized bilinearly to the student's size if it differs.
            Defaults to None.
        num_classes (int, optional): Number of classes K of the label maps.
            Defaults to None; in a config, that of the student's head.
        tau (float): Temperature. Defaults to 0.1.
        pixel_queue (int): Vectors of cells in the queue of a class. With K
            classes and 256 channels, 20000 of them take K * 20 MB. Defaults
            to 20000.
        region_queue (int): Mean vectors in the queue of a class. Defaults to
            2000.
        pixel_keys (int): Number of stored cells that a step compares with;
            every class gives one more than its share. Defaults to 4096.
        region_keys (int): The same for mean vectors. Defaults to 1024.
        pixels_per_class (int): Maximum number of cells of a class that an
            image adds to the queue. Defaults to 16.
        released_pixels (bool): Whether to take them, as the released code
            does, from the first n cells of the image in place of the n cells
            of the class. Defaults to False.
        pool (int): Side of the squares of cells that ``batch`` averages
            first; 2 needs a sixteenth of the similarities. Defaults to 1:
            none.
        valid_only (bool): Whether ``batch`` excludes cells with most of their
            pixels ignored; this needs label maps. Defaults to False.
        ignore_index (int): Label of pixels to ignore. Defaults to 255.
        norm_cfg (dict, optional): Normalisation in the student's head; the
            authors use SyncBN. Defaults to None: BN.
        kwargs: Arguments of :class:`Distiller`, such as ``weights``.

    Raises:
        ConfigError: If an option is wrong, or a tap gives no map.
    """
    roles = ('classifier_input', )
    needs_labels = True
    default_weights = dict(batch=1.0, pixel=0.1, region=0.1)

    def __init__(self,
                 student: TapsLike = None,
                 teacher: TapsLike = None,
                 num_classes: Optional[int] = None,
                 tau: float = 0.1,
                 pixel_queue: int = 20000,
                 region_queue: int = 2000,
                 pixel_keys: int = 4096,
                 region_keys: int = 1024,
                 pixels_per_class: int = 16,
                 released_pixels: bool = False,
                 pool: int = 1,
                 valid_only: bool = False,
                 ignore_index: int = 255,
                 norm_cfg: Optional[dict] = None,
                 **kwargs) -> None:
        super().__init__(student=student, teacher=teacher, **kwargs)
        check_tau('CIRKD', tau=tau)
        for name, value in dict(
                pixel_queue=pixel_queue,
                region_queue=region_queue,
                pixel_keys=pixel_keys,
                region_keys=region_keys,
                pixels_per_class=pixels_per_class,
                pool=pool).items():
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f'CIRKD: {name} is a positive integer, but '
                                  f'got {value!r}')
        if pixels_per_class > pixel_queue:
            raise ConfigError(
                f'CIRKD: an image gives up to {pixels_per_class} cells of a '
                f'class, but the queue holds {pixel_queue}; set '
                'pixels_per_class or pixel_queue')
        self.num_classes = num_classes
        self.tau = tau
        self.sizes = dict(pixel=pixel_queue, region=region_queue)
        self.keys = dict(pixel=pixel_keys, region=region_keys)
        self.pixels_per_class = pixels_per_class
        self.released_pixels = released_pixels
        self.pool = pool
        self.valid_only = valid_only
        self.needs_labels = valid_only or bool({'pixel', 'region'}
                                               & set(self.peak_weights()))
        self.ignore_index = ignore_index
        self.norm_cfg = norm_cfg or dict(type='BN')

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Build the head and the queues, as far as they have a weight."""
        super().setup(student, teacher)
        levels = student['classifier_input'], teacher['classifier_input']
        for specs in levels:
            if len(specs) != 1 or len(specs[0].shape) != 4:
                raise ConfigError(
                    'CIRKD compares one map (N, C, H, W) of each side, but '
                    f'{specs[0].path!r} gives {len(specs)} tensor(s) of the '
                    f'shape {specs[0].shape}')
        stored = [term for term in self.sizes if term in self.peak_weights()]
        if not stored:
            return
        if self.num_classes is None:
            raise ConfigError(
                'CIRKD stores vectors for each class and cannot tell how many '
                'classes the label maps have; set num_classes')
        width, channels = (specs[0].channels for specs in levels)
        self.project = nn.Sequential(
            nn.Conv2d(width, channels, 1, bias=False),
            build_norm_layer(self.norm_cfg,
                             channels)[1], nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 1, bias=False))
        self.queues = nn.ModuleDict({
            term:
            ClassQueue(self.num_classes, self.sizes[term], channels)
            for term in stored
        })

    def _batch_loss(self, student: Dict[str, List[Tensor]],
                    teacher: Dict[str, List[Tensor]],
                    batch: StepBatch) -> Tuple[Tensor, Tensor]:
        """The term ``batch``, and the divergence of each cell (N, H, W)."""
        feat_s, feat_t = _maps(student, teacher)
        if self.pool > 1:
            feat_s, feat_t = (
                F.avg_pool2d(x, self.pool, ceil_mode=True)
                for x in (feat_s, feat_t))
        valid = labelled_cells(batch.labels, feat_s.shape[2:],
                               self.ignore_index) if self.valid_only else None
        return batch_loss(feat_s, feat_t, self.tau, valid)

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """The divergence of each cell's similarities in the batch."""
        _, divergence = self._batch_loss(student, teacher, batch)
        return [
            Heatmap(
                'divergence of the similarities in the batch',
                divergence,
                changes=True)
        ]

    @torch.no_grad()
    def _enqueue(self, term: str, cells: Tensor, members: Tensor) -> None:
        """Add what the images of all processes give, image by image.

        Args:
            term (str): ``'pixel'`` or ``'region'``.
            cells (Tensor): Teacher's vectors (N, H * W, C).
            members (Tensor): Which of them belong to a class, (N, K, H * W).
        """
        if term == 'region':
            vectors = class_means(cells, members)[:, :, None]
            valid = members.any(2, keepdim=True)
        else:
            scores = torch.rand(
                members[:, :1].shape, dtype=torch.float32, device=cells.device)
            chosen, valid = choose_cells(members, self.pixels_per_class,
                                         scores, self.released_pixels)
            images = torch.arange(len(cells), device=cells.device)
            vectors = cells[images[:, None, None], chosen]
        # Each process chooses among its own images, so all of them store the
        # same vectors.
        for images, present in zip(
                torch.cat(all_gather(vectors.contiguous())),
                torch.cat(all_gather(valid.contiguous()))):
            self.queues[term].push(images, present)

    @full_precision
    def _memory_losses(self, feat_s: Tensor, feat_t: Tensor, labels: Tensor,
                       terms: List[str]) -> Dict[str, Tensor]:
        """The terms that compare with the queues."""
        cells_s = cells_of(unit(self.project(feat_s), 1))
        cells_t = cells_of(unit(feat_t.detach(), 1))
        members = class_members(labels, feat_s.shape[2:],
                                self.queues[terms[0]].vectors.size(0),
                                self.ignore_index)
        found = {}
        for term in terms:
            queue = self.queues[term]
            if self.training:
                self._enqueue(term, cells_t, members)
            num_classes, size = queue.vectors.shape[:2]
            order = torch.randperm(size, device=labels.device)
            keys = queue.draw(order[:self.keys[term] // num_classes + 1])
            found[term] = memory_loss(
                cells_s.flatten(0, 1), cells_t.flatten(0, 1), keys,
                members.any(1).flatten(), self.tau)
        return found

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``batch``, ``pixel`` and ``region``, as far as they are
        active."""
        found = {}
        if 'batch' in batch.active_terms:
            found['batch'], _ = self._batch_loss(student, teacher, batch)
        stored = [term for term in self.sizes if term in batch.active_terms]
        if stored:
            found.update(
                self._memory_losses(*_maps(student, teacher), batch.labels,
                                    stored))
        return found
