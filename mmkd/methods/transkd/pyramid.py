"""Tokens and maps of hierarchical transformers."""
from typing import List, Tuple

import torch.nn.functional as F
from torch import Tensor

from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError


def resize_tokens(tokens: Tensor, size: Tuple[int, int],
                  new_size: Tuple[int, int]) -> Tensor:
    """Resize tokens bilinearly, as a map.

    Args:
        tokens (Tensor): (N, H * W, C), in row-major order.
        size (tuple[int, int]): Their height and width (H, W).
        new_size (tuple[int, int]): The new height and width (H', W').

    Returns:
        Tensor: (N, H' * W', C); ``tokens`` itself if the size is the same.

    Raises:
        ValueError: If there are not H * W tokens.
    """
    if tokens.size(1) != size[0] * size[1]:
        raise ValueError(
            f'{tokens.size(1)} tokens are no map of {size[0]}x{size[1]}')
    if tuple(size) == tuple(new_size):
        return tokens
    maps = tokens.transpose(1, 2).unflatten(2, tuple(size))
    maps = F.interpolate(maps, new_size, mode='bilinear', align_corners=False)
    return maps.flatten(2).transpose(1, 2)


def as_tokens(embedding: Tensor,
              stage: Tensor) -> Tuple[Tensor, Tuple[int, int]]:
    """A tapped embedding as tokens (N, L, C), and their height and width."""
    if embedding.dim() == 4:
        return embedding.flatten(2).transpose(1, 2), embedding.shape[2:]
    return embedding, stage.shape[2:]


def embedding_channels(embedding: TapSpec) -> int:
    """Channels of an embedding, given as tokens or a map."""
    return embedding.shape[-1 if len(embedding.shape) == 3 else 1]


def check_pyramid(side: str, stages: List[TapSpec],
                  embeddings: List[TapSpec]) -> None:
    """Check that each embedding has the map of its stage.

    Raises:
        ConfigError: If not; the message names what is missing.
    """
    for spec in stages:
        if len(spec.shape) != 4:
            raise ConfigError(
                f"TransKD: the {side}'s {spec.path!r} gives the shape "
                f'{spec.shape}, but `stages` are maps (N, C, H, W), which '
                'say the height and width of the tokens too; tap the backbone')
    maps = [(spec.shape[2] * spec.shape[3]) for spec in stages]
    if len(embeddings) != len(stages):
        missing = [
            spec.path for spec in embeddings if len(spec.shape) == 3 and (
                spec.shape[1],
                spec.shape[2]) not in [(cells, s.channels)
                                       for cells, s in zip(maps, stages)]
        ]
        raise ConfigError(
            f'TransKD: the {side} has {len(embeddings)} patch embedding(s) '
            f'({embeddings[0].path}, ...) but {len(stages)} stage map(s)'
            f'{"; no map is that of " if missing else ""}{", ".join(missing)}.'
            ' Let the backbone give every stage, `out_indices=(0, 1, 2, 3)`, '
            'or name the taps of as many `embeddings` as `stages`')
    for spec, cells in zip(embeddings, maps):
        if len(spec.shape) not in (3, 4):
            raise ConfigError(
                f"TransKD: the {side}'s {spec.path!r} gives the shape "
                f'{spec.shape}, but embeddings are tokens (N, L, C) or maps '
                '(N, C, H, W)')
        if len(spec.shape) == 3 and spec.shape[1] != cells:
            raise ConfigError(
                f"TransKD: the height and width of the {side}'s tokens at "
                f'{spec.path!r} are not known: there are {spec.shape[1]}, '
                f'but the map of that stage has {cells} cells')
