"""Trainable modules of TransKD: fusion, mixer and assistants."""
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.ops.masks import zero_like_graph
from mmkd.ops.precision import upcast


class Squeeze(nn.Module):
    """Squeeze a pooled vector: convolution, normalisation, ReLU.

    Batch normalisation cannot train on one value per channel, so it is skipped
    if there is one image on the device; its parameters stay in the graph with
    zero gradients.

    Args:
        in_channels (int): Channels of the vector.
        out_channels (int): Channels after it.
        norm (str, optional): ``'BN'``, ``'GN'`` or None. Defaults to
            ``'BN'``.
        single_image_conv (bool): Whether batches of one image go through a
            separate convolution without normalisation, also in evaluation, as
            in the released code. Defaults to False.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 norm: Optional[str] = 'BN',
                 single_image_conv: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        if norm == 'BN':
            self.norm = nn.BatchNorm2d(out_channels)
        elif norm == 'GN':
            self.norm = nn.GroupNorm(4, out_channels)
        else:
            self.norm = nn.Identity()
        self.single = nn.Conv2d(
            in_channels, out_channels, 1,
            bias=False) if single_image_conv else None

    def forward(self, pooled: Tensor) -> Tensor:
        """Map (N, C, 1, 1) to (N, C', 1, 1)."""
        idle: List[nn.Module] = []
        if pooled.size(0) == 1 and self.single is not None:
            hidden, idle = self.single(pooled), [self.conv, self.norm]
        elif pooled.size(0) == 1 and self.training and _of_one_device(
                self.norm):
            hidden, idle = self.conv(pooled), [self.norm]
        else:
            hidden = self.norm(self.conv(pooled))
            if self.single is not None:
                idle = [self.single]
        # Distributed training needs every parameter in the graph.
        for module in idle:
            for parameter in module.parameters():
                hidden = hidden + zero_like_graph(parameter)
        return hidden.relu()


def _of_one_device(norm: nn.Module) -> bool:
    """Whether a layer computes its statistics over one device only."""
    if isinstance(norm, nn.SyncBatchNorm):
        return not torch.distributed.is_initialized() or (
            torch.distributed.get_world_size(norm.process_group) == 1)
    return isinstance(norm, nn.BatchNorm2d)


class SelectiveFusion(nn.Module):
    """Mix a stage with the coarser stages, channel by channel.

    One stage of cross selective fusion: both maps are summed and pooled, and a
    softmax over the two determines their weights for each image and channel.

    Args:
        channels (int): Channels of both maps.
        squeeze_norm (str, optional): See :class:`Squeeze`.
        single_image_conv (bool): See :class:`Squeeze`.
    """

    def __init__(self,
                 channels: int,
                 squeeze_norm: Optional[str] = 'BN',
                 single_image_conv: bool = False) -> None:
        super().__init__()
        squeezed = max(channels // 16, 32)
        self.squeeze = Squeeze(channels, squeezed, squeeze_norm,
                               single_image_conv)
        self.expand_own = nn.Conv2d(squeezed, channels, 1)
        self.expand_above = nn.Conv2d(squeezed, channels, 1)

    def weights(self, own: Tensor, above: Tensor) -> Tuple[Tensor, Tensor]:
        """Weight of each map, (N, C, 1, 1); the two sum to 1."""
        hidden = self.squeeze(
            F.adaptive_avg_pool2d(own, 1) + F.adaptive_avg_pool2d(above, 1))
        scores = [self.expand_own(hidden), self.expand_above(hidden)]
        shares = torch.stack(upcast(scores)).softmax(0)
        return shares[0], shares[1]

    def forward(self, own: Tensor, above: Tensor) -> Tensor:
        """Fuse two maps.

        Args:
            own (Tensor): Map of the stage, (N, C, H, W).
            above (Tensor): Fused map of the stage above, (N, C, H', W').

        Returns:
            Tensor: (N, C, H, W).
        """
        above = F.interpolate(above, own.shape[2:], mode='nearest')
        weight_own, weight_above = self.weights(own, above)
        return weight_own * own + weight_above * above


class CrossSelectiveFusion(nn.Module):
    """CSF: fuse the student's stages top-down and map them to the teacher's.

    From the last stage to the first, each map is reduced to ``mid_channels``
    and mixed with the fused map of the coarser stage
    (:class:`SelectiveFusion`). The mixture is passed on, and a 3x3 convolution
    maps it to the teacher's channels. The convolutions have normalisation but
    no activations.

    Args:
        in_channels (Sequence[int]): Channels of the student's stages.
        out_channels (Sequence[int]): Channels of the teacher's.
        mid_channels (int): Width of the fusion. Defaults to 64.
        squeeze_norm (str, optional): See :class:`Squeeze`. Defaults to
            ``'BN'``.
        single_image_conv (bool): See :class:`Squeeze`. Defaults to False.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 out_channels: Sequence[int],
                 mid_channels: int = 64,
                 squeeze_norm: Optional[str] = 'BN',
                 single_image_conv: bool = False) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(
            _conv_norm(channels, mid_channels, 1) for channels in in_channels)
        self.fuse = nn.ModuleList(
            SelectiveFusion(mid_channels, squeeze_norm, single_image_conv)
            for _ in in_channels[:-1])
        self.project = nn.ModuleList(
            _conv_norm(mid_channels, channels, 3) for channels in out_channels)

    def forward(self, feats: Sequence[Tensor]) -> List[Tensor]:
        """Fuse the stages.

        Args:
            feats (Sequence[Tensor]): Maps (N, C, H, W), from fine to coarse.

        Returns:
            list[Tensor]: A map (N, C', H, W) for each stage.
        """
        fused: Optional[Tensor] = None
        outputs: List[Tensor] = []
        for i in reversed(range(len(feats))):
            own = self.reduce[i](feats[i])
            fused = own if fused is None else self.fuse[i](own, fused)
            outputs.insert(0, self.project[i](fused))
        return outputs


def _conv_norm(in_channels: int, out_channels: int,
               kernel_size: int) -> nn.Sequential:
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        padding=kernel_size // 2,
        bias=False)
    nn.init.kaiming_uniform_(conv.weight, a=1)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


class GlobalLocalMixer(nn.Module):
    """GL-Mixer: attention over all tokens, and a convolution along them.

    Both are multiplied by a learned weight and summed. The gated convolution
    runs along the tokens in row-major order, so it crosses the ends of rows.

    Args:
        channels (int): Channels of the tokens.
        num_heads (int): Heads of the attention.
        init (Sequence[float]): Initial weights of the global and the local
            branch. Defaults to (0.5, 0.5).
        residual (bool): Whether to add the input. Defaults to False.
    """

    def __init__(self,
                 channels: int,
                 num_heads: int,
                 init: Sequence[float] = (0.5, 0.5),
                 residual: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.residual = residual
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)
        self.value = nn.Conv1d(channels, channels, 3, padding=1)
        self.gate = nn.Conv1d(channels, channels, 3, padding=1)
        self.global_weight = nn.Parameter(torch.tensor(float(init[0])))
        self.local_weight = nn.Parameter(torch.tensor(float(init[1])))

    def attend(self, tokens: Tensor) -> Tensor:
        """The global branch, (N, L, C) to (N, L, C)."""
        num_images, length, channels = tokens.shape
        query, key, value = self.qkv(tokens).view(
            num_images, length, 3, self.num_heads,
            channels // self.num_heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def convolve(self, tokens: Tensor) -> Tensor:
        """The local branch, (N, L, C) to (N, L, C)."""
        tokens = tokens.transpose(1, 2)
        return (self.value(tokens) * self.gate(tokens).sigmoid()).transpose(
            1, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix tokens (N, L, C)."""
        mixed = (
            self.global_weight * self.attend(tokens) +
            self.local_weight * self.convolve(tokens))
        return mixed + tokens if self.residual else mixed


class EmbeddingAssistant(nn.Module):
    """EA: a second patch embedding, with the teacher's channels.

    It has the input and geometry of the student's patch convolution. Its
    tokens and the aligned ones are multiplied by a learned weight and summed.

    Args:
        in_channels (int): Input channels of the student's patch convolution.
        out_channels (int): Channels of the teacher's tokens.
        conv (dict): ``kernel_size``, ``stride``, ``padding`` and
            ``dilation`` of the student's patch convolution.
        aligned_weight (float): Initial weight of the aligned tokens.
        own_weight (float): Initial weight of its own tokens.
    """

    def __init__(self, in_channels: int, out_channels: int, conv: dict,
                 aligned_weight: float, own_weight: float) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, out_channels, **conv)
        fan_out = out_channels * self.projection.weight[0, 0].numel()
        nn.init.normal_(self.projection.weight, std=(2 / fan_out)**0.5)
        nn.init.zeros_(self.projection.bias)
        self.norm = nn.LayerNorm(out_channels)
        self.aligned_weight = nn.Parameter(torch.tensor(float(aligned_weight)))
        self.own_weight = nn.Parameter(torch.tensor(float(own_weight)))

    def embed(self, patches: Tensor) -> Tensor:
        """Embed an input (N, C', H, W) as tokens (N, L, C)."""
        tokens = self.projection(patches).flatten(2).transpose(1, 2)
        return self.norm(tokens)

    def forward(self, aligned: Tensor, patches: Tensor) -> Tensor:
        """Assist aligned tokens.

        Args:
            aligned (Tensor): (N, L, C).
            patches (Tensor): Input of the student's patch convolution, (N, C',
                H, W).

        Returns:
            Tensor: (N, L, C).

        Raises:
            ValueError: If the numbers of tokens differ.
        """
        own = self.embed(patches)
        if own.shape != aligned.shape:
            raise ValueError(
                f'the embedding assistant makes {own.size(1)} tokens, the '
                f'student has {aligned.size(1)}; its taps `patches` must be '
                'the inputs of the convolutions that make its `embeddings`')
        return self.aligned_weight * aligned + self.own_weight * own
