"""Augmentation-free dense contrastive distillation (Af-DCD)."""
from typing import Dict, List, Literal, Tuple, Union

import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller, TapsLike
from mmkd.core.features import build_connectors, check_features, match_student
from mmkd.core.logits import check_tau
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual, feature_distance
from mmkd.errors import ConfigError
from mmkd.methods.af_dcd.losses import contrast_loss
from mmkd.ops.distances import squared_distance
from mmkd.ops.generation import GenerationBlock, random_cells
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices


class EnhancedBlock(nn.Module):
    """Two convolutions in sequence, and the mean of a map from each.

    Args:
        channels (int): Input and output channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.outputs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        found = []
        for block, output in zip(self.blocks, self.outputs):
            feat = block(feat).relu()
            found.append(output(feat))
        return (found[0] + found[1]) / 2


def hole(feat: Tensor) -> Tensor:
    """The cells (N, 1, H, W) of a map outside the middle third of its rows
    and columns, 1 there and 0 inside."""
    height, width = feat.shape[2:]
    cells = feat.new_ones(len(feat), 1, height, width)
    cells[:, :, height // 3:2 * height // 3, width // 3:2 * width // 3] = 0
    return cells


@DISTILLERS.register_module()
class AfDCD(Distiller):
    r"""Generate the teacher's map, and contrast its channel groups.

    `Augmentation-Free Dense Contrastive Knowledge Distillation for Efficient
    Semantic Segmentation <https://arxiv.org/abs/2312.04168>`_ (NeurIPS 2023).
    As in MGD, a block reconstructs the teacher's map of the last stage from
    a part of the student's: the term ``feature`` is their squared distance,
    summed over channels and cells. The term ``contrast`` compares both maps
    after max pooling: inside a patch, a group of channels of a cell is to be
    closer to the teacher's group of that cell than to other groups
    (:func:`contrast_loss`).

    The connector and the block are trained with the student and are not part
    of it. The method needs no ground truth. The published runs add the KL
    divergence of the class scores at temperature 1, here
    :class:`~mmkd.methods.logits_kd.LogitsKD` as a second distiller.

    ``feature`` is a sum, so its weight depends on the number of cells and
    channels. The weights are those for Cityscapes; others are in
    docs/methods/af_dcd.md.

    Args:
        student (str | list[str], optional): Taps (N, C, H, W) in the
            student, of which the last one counts. Defaults to None: the
            place ``'stages'``.
        teacher (str | list[str], optional): The same for the teacher,
            (N, C', H, W). Defaults to None.
        num_groups (int): Number of groups of the teacher's channels.
            Defaults to 16, for 2048 channels.
        pool (int): Side and stride of the max pooling before the contrast; 1
            for none. Defaults to 4.
        patch (int): Side of a patch in cells after the pooling; a smaller map
            is one patch. Rows and columns beyond the last whole patch are
            left out. Defaults to 4.
        tau (float): Temperature of the contrast. Defaults to 0.07.
        mask (str): ``'random'`` cells of the student's map are set to 0, or
            a fixed ``'hole'`` in its middle. Defaults to ``'random'``.
        mask_ratio (float): Fraction of random cells that are set to 0.
            Defaults to 0.75.
        generator (str): ``'plain'``, or ``'enhanced'`` with four
            convolutions. Defaults to ``'plain'``.
        connector (str | dict | None): Applied to the student's map:
            ``'auto'`` (a 1x1 convolution if the channels differ), None, or
            the config of a connector. Defaults to ``'auto'``.
        resize (bool): Whether to resize the student's map bilinearly to the
            teacher's size; otherwise, different sizes are an error. Defaults
            to False.
        kwargs: Arguments of :class:`Distiller`, such as ``weights``.

    Raises:
        ConfigError: If an option is wrong, or the maps cannot be compared.
    """
    roles = ('stages', )
    default_weights = dict(feature=2e-6, contrast=5e-3)

    def __init__(self,
                 student: TapsLike = None,
                 teacher: TapsLike = None,
                 num_groups: int = 16,
                 pool: int = 4,
                 patch: int = 4,
                 tau: float = 0.07,
                 mask: Literal['random', 'hole'] = 'random',
                 mask_ratio: float = 0.75,
                 generator: Literal['plain', 'enhanced'] = 'plain',
                 connector: Union[str, dict, None] = 'auto',
                 resize: bool = False,
                 **kwargs) -> None:
        super().__init__(student=student, teacher=teacher, **kwargs)
        check_choices('AfDCD', AfDCD, mask=mask, generator=generator)
        check_tau('AfDCD', tau=tau)
        for name, value in dict(
                num_groups=num_groups, pool=pool, patch=patch).items():
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f'AfDCD: {name} is a positive integer, but '
                                  f'got {value!r}')
        if num_groups == 1:
            raise ConfigError('AfDCD: a single group has no other group to be '
                              'told from; set num_groups to at least 2')
        if not 0 <= mask_ratio <= 1:
            raise ConfigError('AfDCD: mask_ratio is a share in [0, 1], but '
                              f'got {mask_ratio!r}')
        self.num_groups = num_groups
        self.pool = pool
        self.patch = patch
        self.tau = tau
        self.mask = mask
        self.mask_ratio = mask_ratio
        self.generator_kind = generator
        self.connector_cfg = connector
        self.resize = resize

    def check_levels(self, student: Dict[str, List[TapSpec]],
                     teacher: Dict[str, List[TapSpec]]) -> None:
        """Only the last level counts, so there may be any number."""

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Build the connector and the generating block."""
        super().setup(student, teacher)
        levels = student['stages'][-1:], teacher['stages'][-1:]
        check_features('AfDCD', *levels, self.resize)
        channels = levels[1][0].channels
        if channels % self.num_groups:
            raise ConfigError(
                f'AfDCD: the {channels} channels of {levels[1][0].path!r} do '
                f'not make {self.num_groups} groups; set num_groups')
        self.connector, = build_connectors(self.connector_cfg, *levels)
        self.generator = (GenerationBlock if self.generator_kind == 'plain'
                          else EnhancedBlock)(
                              channels)

    def _generate(
            self, student: Dict[str, List[Tensor]],
            teacher: Dict[str, List[Tensor]]) -> Tuple[Tensor, Tensor, Tensor]:
        """Kept cells (N, 1, H, W), the generated and the teacher's map."""
        feat_t = teacher['stages'][-1]
        feat_s = match_student('AfDCD', self.connector(student['stages'][-1]),
                               feat_t, self.resize)
        cells = random_cells(
            feat_s, self.mask_ratio) if self.mask == 'random' else hole(feat_s)
        return cells, self.generator(feat_s * cells), feat_t

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """The kept cells, and the distance between the generated and the
        teacher's map."""
        cells, generated, feat_t = self._generate(student, teacher)
        return [
            Heatmap(
                'kept cells (one draw)',
                cells[:, 0],
                limits=(0, 1),
                color='cyan'),
            Heatmap(
                'distance of the generated map',
                feature_distance(generated, feat_t),
                changes=True)
        ]

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``feature`` and ``contrast``, as far as they are active."""
        _, generated, feat_t = self._generate(student, teacher)
        found = {}
        if 'feature' in batch.active_terms:
            found['feature'] = squared_distance(generated, feat_t)
        if 'contrast' in batch.active_terms:
            pooled = [
                F.max_pool2d(feat, min(self.pool, *feat.shape[2:]))
                for feat in (generated, feat_t)
            ]
            found['contrast'] = contrast_loss(*pooled, self.num_groups,
                                              (self.patch, self.patch),
                                              self.tau)
        return found
