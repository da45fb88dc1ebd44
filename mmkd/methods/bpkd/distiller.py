"""Boundary-privileged knowledge distillation (BPKD)."""
from typing import Dict, List, Sequence, Tuple, Union

from torch import Tensor

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.logits import check_logits, check_tau
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual, logits_distance
from mmkd.errors import ConfigError
from mmkd.methods.bpkd.losses import (body_loss, edge_loss, edge_masks,
                                      present_classes)
from mmkd.ops.connectors import match_size
from mmkd.registry import DISTILLERS


@DISTILLERS.register_module()
class BPKD(Distiller):
    """Distil the edges and the bodies of the classes separately.

    `BPKD: Boundary Privileged Knowledge Distillation For Semantic
    Segmentation <https://arxiv.org/abs/2306.08075>`_ (Liu et al., WACV
    2024). Soft edge masks of each class, computed from the label maps, split
    the logits of both networks. The edge part is matched over the classes of
    each cell (:func:`edge_loss`), the body part over the cells of each class
    (:func:`body_loss`):

    ``L = L_seg + lambda_edge * L_edge + lambda_body * L_body``

    The lambdas are the weights of the terms ``edge`` and ``body``.

    The method has no trainable modules. The student's auxiliary head keeps its
    own loss and is not distilled.

    The authors published no training code. All weights and the edge width
    are the values that independent re-implementations agree on; the
    temperature 1, the average over each class's edge cells and the following
    are choices of this project:

    - Ignored pixels are excluded. ``body_on_ignored=True`` includes them in
      the body, and ``ignore_as_edge=True`` treats the border of a void region
      as an edge; together, these follow the paper literally.
    - Logits of a teacher with a different output size, which no published
      pair has, are resized bilinearly to the student's size.

    Args:
        student (str, optional): Tap of the student's logits (N, C, H, W)
            before any resizing. Defaults to None, the main head.
        teacher (str, optional): Tap of the teacher's logits
            (N, C, H', W'). Defaults to None.
        edge_tau (float): Temperature over classes. Defaults to 1.0.
        body_tau (float): Temperature over cells. Defaults to 1.0.
        edge_class_weights (float | Sequence[float]): Weight of each class's
            edge, alpha in the paper: one number or C numbers. Defaults to
            2.0.
        edge_width (int): Side of the edge window in label pixels, odd and at
            least 3; the band is one pixel narrower. Defaults to 7.
        use_prm (bool): Pre-mask filtering: multiply the logits by the edge
            mask before the softmax. Defaults to True.
        use_pom (bool): Post-mask filtering: multiply the divergence by the
            edge mask. Defaults to True.
        ignore_index (int): Label of pixels to ignore. Defaults to 255.
        ignore_as_edge (bool): Whether ignored pixels count as another class
            in the edge masks. Defaults to False.
        body_on_ignored (bool): Whether the body includes ignored cells.
            Defaults to False.
        valid_threshold (float): Minimum fraction of labelled pixels in a
            valid cell. Defaults to 0.5.
        align_corners (bool): For resizing the teacher's logits, as in the
            student's head. Defaults to False.
        kwargs: Arguments of :class:`Distiller`, such as ``weights``.
    """

    roles = ('logits', )
    needs_labels = True
    default_weights = dict(edge=50.0, body=20.0)

    def __init__(self,
                 student=None,
                 teacher=None,
                 edge_tau: float = 1.0,
                 body_tau: float = 1.0,
                 edge_class_weights: Union[float, Sequence[float]] = 2.0,
                 edge_width: int = 7,
                 use_prm: bool = True,
                 use_pom: bool = True,
                 ignore_index: int = 255,
                 ignore_as_edge: bool = False,
                 body_on_ignored: bool = False,
                 valid_threshold: float = 0.5,
                 align_corners: bool = False,
                 **kwargs) -> None:
        super().__init__(student=student, teacher=teacher, **kwargs)
        check_tau('BPKD', edge_tau=edge_tau, body_tau=body_tau)
        if not isinstance(edge_width, int) or (edge_width < 3
                                               or edge_width % 2 == 0):
            raise ConfigError('BPKD: edge_width must be an odd number of at '
                              f'least 3, but got {edge_width}')
        if not 0 <= valid_threshold <= 1:
            raise ConfigError('BPKD: valid_threshold is a share in [0, 1], '
                              f'but got {valid_threshold}')
        numbers = edge_class_weights if isinstance(
            edge_class_weights, (list, tuple)) else [edge_class_weights]
        if not all(isinstance(number, (int, float)) for number in numbers):
            raise ConfigError('BPKD: edge_class_weights is one number or a '
                              'list of one for each class, but got '
                              f'{edge_class_weights!r}')
        self.edge_tau = edge_tau
        self.body_tau = body_tau
        self.edge_class_weights = edge_class_weights
        self.edge_width = edge_width
        self.use_prm = use_prm
        self.use_pom = use_pom
        self.ignore_index = ignore_index
        self.ignore_as_edge = ignore_as_edge
        self.body_on_ignored = body_on_ignored
        self.valid_threshold = valid_threshold
        self.align_corners = align_corners

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Check that both sides have one map with the same classes."""
        super().setup(student, teacher)
        check_logits('BPKD', student['logits'], teacher['logits'])
        if len(student['logits']) != 1:
            raise ConfigError('BPKD distils one map of logits, but the taps '
                              f'give {len(student["logits"])} levels')
        num_classes = student['logits'][0].channels
        weights = self.edge_class_weights
        if isinstance(weights, (list, tuple)) and len(weights) != num_classes:
            raise ConfigError(
                'BPKD: edge_class_weights is one number or one for each of '
                f'the {num_classes} classes, but has {len(weights)}')

    def masks(self, logits: Tensor, batch: StepBatch) -> Tuple[Tensor, Tensor]:
        """Edge masks (N, C, H, W) and valid cells (N, 1, H, W) on the grid
        of logits; see :func:`edge_masks`."""
        classes = present_classes(batch.host_labels, logits.size(1),
                                  self.ignore_index)
        return edge_masks(batch.labels, logits.size(1), logits.shape[2:],
                          self.edge_width, self.ignore_index,
                          self.ignore_as_edge, self.valid_threshold, classes)

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Edges of all classes, and the divergence of the class scores."""
        logits_s, logits_t = student['logits'][0], teacher['logits'][0]
        logits_t = match_size(logits_t, logits_s, self.align_corners)
        masks, valid = self.masks(logits_s, batch)
        edges = masks.amax(dim=1)
        distance = logits_distance(logits_s, logits_t, self.edge_tau, valid)
        return [
            Heatmap('edge mask', edges, limits=(0, 1), color='magenta'),
            Heatmap('divergence over the classes', distance, changes=True),
            Heatmap('divergence under the edge mask', distance * edges)
        ]

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``edge`` and ``body``."""
        logits_s, logits_t = student['logits'][0], teacher['logits'][0]
        logits_t = match_size(logits_t, logits_s, self.align_corners)
        masks, valid = self.masks(logits_s, batch)
        terms = {}
        if 'edge' in batch.active_terms:
            terms['edge'] = edge_loss(logits_s, logits_t, masks, valid,
                                      self.edge_tau, self.edge_class_weights,
                                      self.use_prm, self.use_pom)
        if 'body' in batch.active_terms:
            terms['body'] = body_loss(logits_s, logits_t, masks,
                                      None if self.body_on_ignored else valid,
                                      self.body_tau)
        return terms
