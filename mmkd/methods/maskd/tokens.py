"""Receptive tokens: what they are, learning them, and reading learned ones."""
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from mmkd.core.rewriting import Rewriter
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import CheckpointError, ConfigError
from mmkd.methods.maskd.losses import token_masks
from mmkd.ops.masks import dice_similarity
from mmkd.ops.precision import full_precision
from mmkd.registry import MODELS
from mmkd.utils.checkpoint import read_checkpoint

_PREFIX = 'rewriter.levels.'


class TokenMasks(nn.Module):
    """The tokens of a level, and how much each image makes of them.

    Args:
        channels (int): Channels C of the level.
        num_tokens (int): Number of tokens n.
        weighted (bool): Whether tokens have weights.
    """

    def __init__(self, channels: int, num_tokens: int, weighted: bool) -> None:
        super().__init__()
        self.tokens = nn.Parameter(0.01 * torch.randn(num_tokens, channels))
        self.weighted = weighted
        if weighted:
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)
            self.classifier = nn.Conv2d(channels, num_tokens, 1)
            for conv in (self.conv, self.classifier):
                nn.init.kaiming_normal_(conv.weight, mode='fan_out')
                nn.init.zeros_(conv.bias)

    @full_precision
    def weights(self, feat: Tensor) -> Optional[Tensor]:
        """Weights (N, n) of the tokens, whose sum is 1, for maps
        (N, C, H, W); None without weights."""
        if not self.weighted:
            return None
        pooled = self.conv(feat).mean((2, 3), keepdim=True)
        return self.classifier(pooled).flatten(1).softmax(1)

    def masks(self, feat: Tensor) -> Tensor:
        """Masks (N, n, H, W) of maps (N, C, H, W)."""
        return token_masks(feat, self.tokens)


@MODELS.register_module()
class ReceptiveTokens(Rewriter):
    """Stage 1 of MasKD: tokens whose masks keep what the teacher needs.

    `Masked Distillation with Receptive Tokens
    <https://arxiv.org/abs/2205.14589>`_ (Huang et al., ICLR 2023). A map x of
    the teacher becomes ``x * sum_k w_k m_k``, with the masks of the tokens
    and, in detection, their weights. The term ``dice``,
    :func:`dice_similarity`, keeps the masks apart.

    Args:
        taps (str | list, optional): Maps (N, C, H, W) of the teacher.
            Defaults to None: the class scores of a segmentation head, or all
            levels of the neck of a detector.
        num_tokens (int, optional): Tokens of each level. Defaults to None: 8
            for class scores, otherwise 6.
        weighted (bool, optional): Whether tokens have weights. Defaults to
            None: not for class scores.
        kwargs: Arguments of :class:`~mmkd.core.Rewriter`.
    """
    role = 'maps'

    def __init__(self,
                 taps=None,
                 num_tokens: Optional[int] = None,
                 weighted: Optional[bool] = None,
                 **kwargs) -> None:
        super().__init__(taps, **kwargs)
        if num_tokens is not None and num_tokens < 2:
            raise ConfigError('ReceptiveTokens: num_tokens must be 2 or more, '
                              f'but is {num_tokens}')
        self.num_tokens = num_tokens
        self.weighted = weighted

    def setup(self, specs: Sequence[TapSpec]) -> None:
        """Make the tokens of each level."""
        for spec in specs:
            if len(spec.shape) != 4:
                raise ConfigError('ReceptiveTokens reads maps (N, C, H, W), '
                                  f'but {spec.path!r} has {spec.shape}')
        self.levels = nn.ModuleList(
            TokenMasks(
                spec.channels, self.num_tokens or (
                    8 if spec.kind == 'logits' else 6), spec.kind !=
                'logits' if self.weighted is None else self.weighted)
            for spec in specs)

    def rewrite(self, level: int,
                value: Tensor) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Multiply a map by the sum of its masks."""
        tokens: TokenMasks = self.levels[level]  # type: ignore[assignment]
        masks, weights = tokens.masks(value), tokens.weights(value)
        whole = masks.sum(1, keepdim=True) if weights is None else \
            torch.einsum('bkhw,bk->bhw', masks, weights)[:, None]
        return value * whole, dict(dice=dice_similarity(masks))


def read_tokens(path: str, specs: Sequence[TapSpec]) -> List[TokenMasks]:
    """Read the tokens that a run with :class:`ReceptiveTokens` has learned.

    Args:
        path (str): Its checkpoint.
        specs (Sequence[TapSpec]): Levels of the teacher, with the hash of its
            weights.

    Returns:
        list[TokenMasks]: The frozen tokens of each level.

    Raises:
        CheckpointError: If it is missing or no such checkpoint, or was
            learned on other levels or another teacher.
    """
    try:
        checkpoint = read_checkpoint(path)
    except CheckpointError as error:
        raise CheckpointError(
            f'MasKD, masks: {error}; learn the tokens before '
            '(docs/methods/maskd.md)') from None
    state = {
        key[len(_PREFIX):]: value
        for key, value in checkpoint.state_dict.items()
        if key.startswith(_PREFIX)
    }
    shapes = [
        tuple(state[f'{i}.tokens'].shape) for i in range(len(state))
        if f'{i}.tokens' in state
    ]
    if not shapes:
        raise CheckpointError(
            f'MasKD: {path} has no receptive tokens; `masks` is the '
            'checkpoint of a run of ReceptiveTokens (docs/methods/maskd.md)')
    channels = [spec.channels for spec in specs]
    if [shape[1] for shape in shapes] != channels:
        raise CheckpointError(
            f'MasKD: the tokens of {path} are for levels of '
            f'{[shape[1] for shape in shapes]} channels, but those of the '
            f'teacher have {channels}; tap the same levels in both stages')
    given = checkpoint.state_dict.get('teacher_hash')
    if given is None or bytes(given.tolist()).hex() != specs[0].weights_hash:
        raise CheckpointError(
            f'MasKD: the tokens of {path} were learned on other weights than '
            'those of this teacher; learn them again on this one')
    stored = checkpoint.state_dict.get('places')
    places = [spec.place for spec in specs]
    if stored is not None and bytes(
            stored.tolist()).decode().split('\n') != places:
        raise CheckpointError(
            f'MasKD: the tokens of {path} were learned on other levels than '
            f'{", ".join(places)}; tap the same levels in both stages')
    levels = nn.ModuleList(
        TokenMasks(shape[1], shape[0], f'{i}.conv.weight' in state)
        for i, shape in enumerate(shapes))
    levels.load_state_dict(state)
    return list(levels)  # type: ignore[arg-type]
