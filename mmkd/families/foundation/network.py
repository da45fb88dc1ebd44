"""The adapter of a network of another library."""
import math
import os.path as osp
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch.nn.functional as F
from mmengine.model import ImgDataPreprocessor
from torch import Tensor, nn

from mmkd.errors import ConfigError
from mmkd.utils.files import file_hash

Size = Union[str, Sequence[int], Dict[str, int]]
Features = Tuple[Sequence[Tensor], Optional[Tensor]]


@dataclass(frozen=True)
class Card:
    """What is known of a model besides its weights.

    Attributes:
        name (str): Its name, with the library.
        mean (Sequence[float]): Mean of red, green and blue, from 0 to 1.
        std (Sequence[float]): Their standard deviation.
        licence (str): What the card says of the licence. Defaults to ``''``:
            nothing.
    """
    name: str
    mean: Sequence[float]
    std: Sequence[float]
    licence: str = ''

    def __post_init__(self) -> None:
        for what, values in (('mean', self.mean), ('std', self.std)):
            if not isinstance(values, (list, tuple)) or len(values) != 3 \
                    or not all(0 <= v <= 1 for v in values):
                raise ConfigError(f'{self.name}: {what} is three numbers from '
                                  f'0 to 1, for red, green and blue, not '
                                  f'{values!r}')


class FoundationNetwork(nn.Module, ABC):
    """Base class of networks of other libraries, which are only teachers.

    It takes images like a network of OpenMMLab, brings them to a size that
    the model can take, and shows its maps at the taps ``'maps[i]'`` and what
    it says of the whole image at ``'summary'``.

    Args:
        model (nn.Module): The model.
        card (Card): What is known of it.
        patch (tuple[int, int]): Height and width in pixels that each side of
            an image must be a multiple of. Defaults to (1, 1).
        size (str | dict | Sequence[int]): Size of its images:
            ``'nearest'``, the nearest multiple of ``patch``; ``'pad'``, the
            next one, with zeros right and below; ``dict(stride=16)``, one
            cell of the last map for 16 pixels; or height and width. All but
            ``'pad'`` resize the whole image bilinearly. Defaults to
            ``'nearest'``.
        cell (tuple[int, int], optional): Height and width in pixels of a cell
            of the last map. Defaults to None: ``patch``.

    Raises:
        ConfigError: If ``size`` is none of these.
    """

    #: File that holds the model with its weights, if there is one.
    file: Optional[str] = None

    def __init__(self,
                 model: nn.Module,
                 card: Card,
                 patch: Tuple[int, int] = (1, 1),
                 size: Size = 'nearest',
                 cell: Optional[Tuple[int, int]] = None) -> None:
        super().__init__()
        self.model = model
        self.card = card
        self.patch = patch
        self.cell = cell or patch
        self.size = _read_size(size, card.name)
        self.data_preprocessor = ImgDataPreprocessor(
            mean=[255 * value for value in card.mean],
            std=[255 * value for value in card.std],
            bgr_to_rgb=True)
        # Where taps sit; a root module cannot be tapped.
        self.maps, self.summary = nn.Identity(), nn.Identity()

    @abstractmethod
    def features(self, images: Tensor) -> Features:
        """Maps and summary of images of a size that suits the model.

        Args:
            images (Tensor): (N, 3, H, W).

        Returns:
            tuple: Maps (N, C, h, w), and the summary (N, D) or None.
        """

    def forward(self,
                inputs: Tensor,
                data_samples: Any = None,
                mode: str = 'tensor') -> Tuple[Tensor, ...]:
        """Compute the maps.

        Args:
            inputs (Tensor): Images that are normalised as the card says,
                (N, 3, H, W).
            data_samples (list, optional): Not used.
            mode (str): Not used.

        Returns:
            tuple[Tensor]: (N, C, h, w), a map a level.
        """
        maps, summary = self.features(self.fit(inputs))
        if summary is not None:  # first: a step ends at the last tap
            self.summary(summary)
        return self.maps(tuple(maps))

    def fit(self, images: Tensor) -> Tensor:
        """Bring images to a size that the model can take; see ``size``."""
        height, width = self.fitted(*images.shape[-2:])
        if (height, width) == tuple(images.shape[-2:]):
            return images
        if self.size == 'pad':
            return F.pad(
                images,
                (0, width - images.shape[-1], 0, height - images.shape[-2]))
        return F.interpolate(
            images, (height, width),
            mode='bilinear',
            align_corners=False,
            antialias=True)

    def fitted(self, height: int, width: int) -> Tuple[int, int]:
        """Height and width of an image after :meth:`fit`."""
        sides = zip((height, width), self.patch, self.cell)
        if self.size == 'nearest':
            h, w = (max(p, p * math.floor(x / p + .5)) for x, p, _ in sides)
        elif self.size == 'pad':
            h, w = (p * math.ceil(x / p) for x, p, _ in sides)
        elif isinstance(self.size, int):
            h, w = (c * math.ceil(x / self.size) for x, _, c in sides)
        else:
            h, w = self.size
        return h, w

    def own_weights(self, state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """Weights of a file under the names that this network has.

        Raises:
            CheckpointError: If they are of another model.
        """
        return {f'model.{key}': value for key, value in state_dict.items()}

    @property
    def wants_summary(self) -> bool:
        """Whether something reads the summary in this forward pass."""
        return bool(self.summary._forward_hooks
                    or self.summary._forward_pre_hooks)

    def origin(self) -> Dict[str, str]:
        """Its name, with no folder in it, its licence, and the SHA-256 of the
        file that holds the whole model, if there is one."""
        parts = self.card.name.split('::')
        found = dict(
            network='::'.join(
                osp.basename(part.rstrip('/')) for part in parts),
            licence=self.card.licence or 'not told')
        if self.file:
            found['sha256'] = file_hash(self.file)
        return found

    def notes(self) -> str:
        """Where it comes from, and how it sees images, in one line."""
        mean, std = (', '.join(f'{value:g}' for value in values)
                     for values in (self.card.mean, self.card.std))
        size = self.size
        if isinstance(size, int):
            size = f'a cell for {size} pixels'
        elif not isinstance(size, str):
            size = 'x'.join(map(str, size))
        file = f', SHA-256 {file_hash(self.file)}' if self.file else ''
        return (f'{self.card.name}{file}, mean ({mean}), std ({std}) of RGB '
                f'from 0 to 1, patch {self.patch[0]}x{self.patch[1]}, size '
                f'{size}, licence {self.card.licence or "not told"}')


def _read_size(size: Any, name: str) -> Any:
    """Check ``size``; the stride of ``dict(stride=...)`` is a number."""
    if size in ('nearest', 'pad'):
        return size
    if isinstance(size, dict) and list(size) == ['stride'] and isinstance(
            size['stride'], int) and size['stride'] > 0:
        return size['stride']
    if isinstance(size, (list, tuple)) and len(size) == 2 and all(
            isinstance(side, int) and side > 0 for side in size):
        return tuple(size)
    raise ConfigError(f"{name}: size is 'nearest', 'pad', dict(stride=16) or "
                      f'(height, width), not {size!r}')


def read_levels(levels: Any, count: int, name: str) -> List[int]:
    """Numbers of the blocks or stages to show, from 0 and ascending.

    Args:
        levels (int | Sequence[int]): Numbers, negative from the end.
        count (int): How many there are.
        name (str): The model, for messages.

    Raises:
        ConfigError: If one does not exist, or they are not in order.
    """
    given = [levels] if isinstance(levels, int) else list(levels)
    found = [level + count if level < 0 else level for level in given]
    if not found or found != sorted(
            set(found)) or not (0 <= found[0] and found[-1] < count):
        raise ConfigError(f'{name}: levels are ascending numbers from 0 to '
                          f'{count - 1}, negative ones from the end, not '
                          f'{levels!r}')
    return found


def patch_size(value: Any) -> Tuple[int, int]:
    """Height and width of a patch that a library gives as either."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def to_map(tokens: Tensor, grid: Tuple[int, int], prefix: int,
           name: str) -> Tensor:
    """The map of the tokens of a transformer.

    Args:
        tokens (Tensor): (N, prefix + h * w, C).
        grid (tuple[int, int]): h and w.
        prefix (int): Number of class and register tokens, which come first.
        name (str): The model, for messages.

    Returns:
        Tensor: (N, C, h, w).

    Raises:
        ConfigError: If the number of tokens is another one.
    """
    height, width = grid
    if tokens.shape[1] != prefix + height * width:
        raise ConfigError(
            f'{name} gives {tokens.shape[1]} tokens, which are not {prefix} '
            f'before a grid of {height}x{width}; set `prefix` and `patch`')
    return tokens[:, prefix:].transpose(1, 2).reshape(
        len(tokens), -1, height, width)
