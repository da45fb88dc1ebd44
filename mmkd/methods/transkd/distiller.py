"""Transformer-to-transformer knowledge distillation (TransKD)."""
from typing import Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.core.distiller import Distiller, StepBatch
from mmkd.core.logits import check_logits, check_tau
from mmkd.core.schedule import WeightLike, build_weight
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Visual, distances
from mmkd.errors import ConfigError
from mmkd.methods.transkd.losses import (embedding_loss,
                                         hierarchical_context_loss)
from mmkd.ops.channel_wise import channel_wise_divergence
from mmkd.ops.connectors import match_size
from mmkd.ops.divergences import kl_divergence
from mmkd.ops.masks import zero_like_graph
from mmkd.registry import DISTILLERS

VARIANTS = ('base', 'gl', 'ea')
FEATURE_LOSSES = ('hcl', 'cwd', 'pixel_kl')
SQUEEZE_NORMS = ('BN', 'GN', None)


class Squeeze(nn.Module):
    """Squeeze a pooled vector: convolution, normalisation, ReLU.

    Batch normalisation cannot train on one value a channel, so with one
    image on the device it is left out of that step; its parameters stay in
    the graph with a gradient of zero.

    Args:
        in_channels (int): Channels of the vector.
        out_channels (int): Channels after it.
        norm (str, optional): ``'BN'``, ``'GN'`` or None. Defaults to
            ``'BN'``.
        single_image_conv (bool): Whether batches of one image, in
            evaluation too, go through a convolution of their own without
            normalisation, as in the released code. Defaults to False.
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
    """Whether a layer has the images of one device for its statistics."""
    if isinstance(norm, nn.SyncBatchNorm):
        return not torch.distributed.is_initialized() or (
            torch.distributed.get_world_size(norm.process_group) == 1)
    return isinstance(norm, nn.BatchNorm2d)


class SelectiveFusion(nn.Module):
    """Mix a stage with the coarser stages above it, channel by channel.

    One stage of cross selective fusion: both maps are summed and pooled, and
    a softmax over the two decides for each image and channel what share each
    of them has.

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
        """Share of each map, (N, C, 1, 1); the two add up to 1."""
        hidden = self.squeeze(
            F.adaptive_avg_pool2d(own, 1) + F.adaptive_avg_pool2d(above, 1))
        shares = torch.stack(
            [self.expand_own(hidden),
             self.expand_above(hidden)]).softmax(0)
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
    """CSF: bring the student's stages, fused top-down, to the teacher's.

    From the last stage to the first, each map is reduced to ``mid_channels``
    and mixed with the fused map of the stage above
    (:class:`SelectiveFusion`). The mixture is handed down; a 3x3 convolution
    makes the teacher's channels of it. Normalised, without activations.

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
            list[Tensor]: A map (N, C', H, W) of each stage.
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

    Both are weighted by a learned number each and summed. The gated
    convolution runs along the tokens in the order of rows, so it reaches
    across the ends of rows.

    Args:
        channels (int): Channels of the tokens.
        num_heads (int): Heads of the attention.
        init (Sequence[float]): First weights of the global and of the local
            branch. Defaults to (0.5, 0.5).
        residual (bool): Whether the tokens are added. Defaults to False.
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

    It sees what the student's patch convolution sees, and has its geometry.
    Its tokens and the aligned ones are weighted by a learned number each and
    summed.

    Args:
        in_channels (int): Channels of what the student's patch convolution
            is given.
        out_channels (int): Channels of the teacher's tokens.
        conv (dict): ``kernel_size``, ``stride``, ``padding`` and
            ``dilation`` of the student's patch convolution.
        aligned_weight (float): First weight of the aligned tokens.
        own_weight (float): First weight of the own tokens.
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
        """The own tokens (N, L, C) of what is embedded, (N, C', H, W)."""
        tokens = self.projection(patches).flatten(2).transpose(1, 2)
        return self.norm(tokens)

    def forward(self, aligned: Tensor, patches: Tensor) -> Tensor:
        """Assist aligned tokens.

        Args:
            aligned (Tensor): (N, L, C).
            patches (Tensor): What the student's patch convolution is given,
                (N, C', H, W).

        Returns:
            Tensor: (N, L, C).

        Raises:
            ValueError: If both do not have as many tokens.
        """
        own = self.embed(patches)
        if own.shape != aligned.shape:
            raise ValueError(
                f'the embedding assistant makes {own.size(1)} tokens, the '
                f'student has {aligned.size(1)}; its taps `patches` must be '
                'the inputs of the convolutions that make its `embeddings`')
        return self.aligned_weight * aligned + self.own_weight * own


def resize_tokens(tokens: Tensor, size: Tuple[int, int],
                  new_size: Tuple[int, int]) -> Tensor:
    """Resize tokens bilinearly as the map that they stand for.

    Args:
        tokens (Tensor): (N, H * W, C), row by row.
        size (tuple[int, int]): Their height and width (H, W).
        new_size (tuple[int, int]): The wanted ones, (H', W').

    Returns:
        Tensor: (N, H' * W', C); ``tokens`` themselves if the size is right.

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


def _as_tokens(embedding: Tensor,
               stage: Tensor) -> Tuple[Tensor, Tuple[int, int]]:
    """A tapped embedding as tokens (N, L, C), and their height and width."""
    if embedding.dim() == 4:
        return embedding.flatten(2).transpose(1, 2), embedding.shape[2:]
    return embedding, stage.shape[2:]


@DISTILLERS.register_module()
class TransKD(Distiller):
    """Distil a pyramid of transformers: its stages and patch embeddings.

    `TransKD: Transformer Knowledge Distillation for Efficient Semantic
    Segmentation <https://arxiv.org/abs/2202.13393>`_ (Liu et al.). At each
    stage i the student's feature maps, fused top-down
    (:class:`CrossSelectiveFusion`), are drawn to the teacher's F by
    :func:`hierarchical_context_loss` (HCL), and its patch
    embeddings, through a linear layer (patch embedding alignment, PEA), to
    the teacher's E by their mean squared difference:

    ``L = L_seg + lambda_feature * sum_i HCL(CSF(F_s)_i, F_t_i)
    + lambda_embedding * sum_i alpha_i * MSE(PEA(E_s_i), E_t_i)``

    ``variant='gl'`` puts a :class:`GlobalLocalMixer` before the alignment of
    the last stage, ``variant='ea'`` an :class:`EmbeddingAssistant` beside
    that of every stage. All modules are for training alone: they read what
    the student computes and add nothing to it.

    Needs networks with an embedding and a map at each stage, such as mmseg's
    ``MixVisionTransformer`` (SegFormer) and mmdet's
    ``PyramidVisionTransformerV2``; for others name the taps. The student may
    have other widths, and other sizes, which are resized bilinearly to the
    teacher's.

    The values are those of the released code; the body of the paper was not
    compared. Departures from it:

    - the two weights of the GL-Mixer, memory that is never set there, begin
      at ``gl_init``; (0, 0) is close to what it is usually found to hold;
    - one squeezing convolution serves batches of one image too, without
      batch normalisation in training; ``single_image_conv=True`` adds the
      separate one of the released code;
    - the teacher is run without gradient, which changes none of the
      student's;
    - probabilities of the optional losses are taken in log space.

    The class weights, the class for ignored pixels, the loss at a quarter of
    the resolution and the schedule of the released training are no part of
    the method and not ported.

    Args:
        student (dict, optional): Taps of the student by role, each one
            level a stage from fine to coarse: ``embeddings``, tokens
            (N, L, C) or maps (N, C, H, W); ``stages``, maps (N, C, H, W) of
            the same height and width as the tokens; for ``'ea'``
            ``patches``, the inputs (N, C, H, W) of the patch convolutions;
            for ``lambda_logits`` ``logits``. Defaults to None: those of the
            network's family.
        teacher (dict, optional): The same for the teacher, which needs no
            ``patches``. Defaults to None.
        variant (str): ``'base'``, ``'gl'`` or ``'ea'``. Defaults to
            ``'base'``.
        lambda_feature (float | dict): Weight of ``loss_feature``, a number
            or a schedule. Defaults to 1.0.
        lambda_embedding (float | dict): Weight of ``loss_embedding``.
            Defaults to 1.0.
        lambda_logits (float | dict): Weight of ``loss_logits``,
            :func:`kl_divergence` of the class scores. Without
            one (the published method) there is no such term, and the
            teacher's head is not run. Defaults to 0.0.
        alpha (Sequence[float]): Weight of each stage's embedding loss; 0
            leaves a stage out. Defaults to (0.1, 0.1, 0.5, 1.0).
        feature_weights (Sequence[float], optional): Weight of each stage's
            feature loss. Defaults to None: 1 for all.
        feature_loss (str): ``'hcl'``; ``'cwd'`` for
            :func:`channel_wise_divergence`; or ``'pixel_kl'``
            for :func:`kl_divergence` over the channels of each
            cell. Defaults to ``'hcl'``.
        feature_tau (float): Temperature of the latter two. Defaults to 1.0.
        logits_tau (float): Temperature of ``loss_logits``. Defaults to 1.0.
        mid_channels (int): Width of the fusion. Defaults to 64.
        squeeze_norm (str, optional): Normalisation of the pooled vector in
            the fusion: ``'BN'``, ``'GN'`` (better for one or two images a
            device, where batch statistics tell little) or None. Defaults to
            ``'BN'``.
        single_image_conv (bool): See above. Defaults to False.
        gl_heads (int, optional): Heads of the GL-Mixer's attention. Defaults
            to None: as many as the student's last stage has.
        gl_init (Sequence[float]): First weights of its global and of its
            local branch. Defaults to (0.5, 0.5).
        gl_residual (bool): Whether it adds its input. Defaults to False.
        ea_aligned_init (Sequence[float]): First weight of each stage's
            aligned tokens. Defaults to (0.1, 0.2, 0.3, 0.4).
        ea_own_init (Sequence[float]): First weight of each stage's
            assistant. Defaults to (0.5, 0.6, 0.7, 0.8).
        kwargs: Arguments of :class:`Distiller`, such as ``loss_weight``.

    Raises:
        ConfigError: If an argument makes no sense.
    """

    roles = ('embeddings', 'stages')

    def __init__(self,
                 student=None,
                 teacher=None,
                 variant: str = 'base',
                 lambda_feature: WeightLike = 1.0,
                 lambda_embedding: WeightLike = 1.0,
                 lambda_logits: WeightLike = 0.0,
                 alpha: Sequence[float] = (0.1, 0.1, 0.5, 1.0),
                 feature_weights: Optional[Sequence[float]] = None,
                 feature_loss: str = 'hcl',
                 feature_tau: float = 1.0,
                 logits_tau: float = 1.0,
                 mid_channels: int = 64,
                 squeeze_norm: Optional[str] = 'BN',
                 single_image_conv: bool = False,
                 gl_heads: Optional[int] = None,
                 gl_init: Sequence[float] = (0.5, 0.5),
                 gl_residual: bool = False,
                 ea_aligned_init: Sequence[float] = (0.1, 0.2, 0.3, 0.4),
                 ea_own_init: Sequence[float] = (0.5, 0.6, 0.7, 0.8),
                 **kwargs) -> None:
        for name, value, known in (('variant', variant,
                                    VARIANTS), ('feature_loss', feature_loss,
                                                FEATURE_LOSSES),
                                   ('squeeze_norm', squeeze_norm,
                                    SQUEEZE_NORMS)):
            if value not in known:
                raise ConfigError(f'TransKD: {name} is one of '
                                  f'{", ".join(map(str, known))}, not '
                                  f'{value!r}')
        for name, values in dict(
                alpha=alpha,
                feature_weights=feature_weights,
                gl_init=gl_init,
                ea_aligned_init=ea_aligned_init,
                ea_own_init=ea_own_init).items():
            _check_numbers(name, values)
        for name, values in dict(
                alpha=alpha, feature_weights=feature_weights).items():
            if values is not None and min(values) < 0:
                raise ConfigError(f'TransKD: {name} must be at least 0, but '
                                  f'got {values}')
        if len(gl_init) != 2:
            raise ConfigError('TransKD: gl_init is two numbers, of the '
                              f'global and the local branch, not {gl_init}')
        check_tau('TransKD', feature_tau=feature_tau, logits_tau=logits_tau)
        weights = dict(
            loss_feature=lambda_feature, loss_embedding=lambda_embedding)
        # The places that are read depend on the options.
        self.teacher_roles = self.roles
        if _has_weight(lambda_logits):
            weights['loss_logits'] = lambda_logits
            self.teacher_roles += ('logits', )
        self.roles = self.teacher_roles
        if variant == 'ea':
            self.roles += ('patches', )
        super().__init__(
            student=student, teacher=teacher, weights=weights, **kwargs)
        self.variant = variant
        self.alpha = tuple(alpha)
        self.feature_weights = feature_weights
        self.feature_loss = feature_loss
        self.feature_tau = feature_tau
        self.logits_tau = logits_tau
        self.mid_channels = mid_channels
        self.squeeze_norm = squeeze_norm
        self.single_image_conv = single_image_conv
        self.gl_heads = gl_heads
        self.gl_init = gl_init
        self.gl_residual = gl_residual
        self.ea_aligned_init = ea_aligned_init
        self.ea_own_init = ea_own_init

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Check both pyramids, and build the modules for their widths."""
        for side, specs in (('student', student), ('teacher', teacher)):
            _check_pyramid(side, specs['stages'], specs['embeddings'])
        super().setup(student, teacher)
        num_stages = len(student['stages'])
        if self.feature_weights is None:
            self.feature_weights = (1.0, ) * num_stages
        per_stage = ['alpha', 'feature_weights']
        if self.variant == 'ea':
            per_stage += ['ea_aligned_init', 'ea_own_init']
        for name in per_stage:
            if len(getattr(self, name)) != num_stages:
                raise ConfigError(
                    f'TransKD: {name} has {len(getattr(self, name))} '
                    f'number(s), but there are {num_stages} stages; give one '
                    'for each')
        if 'logits' in self.roles:
            check_logits('TransKD', student['logits'], teacher['logits'])

        self.fusion = CrossSelectiveFusion(
            [spec.channels for spec in student['stages']],
            [spec.channels for spec in teacher['stages']], self.mid_channels,
            self.squeeze_norm, self.single_image_conv)
        widths = [(_width(spec_s), _width(spec_t)) for spec_s, spec_t in zip(
            student['embeddings'], teacher['embeddings'])]
        self.alignment = nn.ModuleList(
            nn.Linear(width_s, width_t) for width_s, width_t in widths)
        self.mixer: Optional[GlobalLocalMixer] = None
        self.assistants: Optional[nn.ModuleList] = None
        if self.variant == 'gl':
            self.mixer = GlobalLocalMixer(
                widths[-1][0],
                self._mixer_heads(student['stages'], widths[-1][0]),
                self.gl_init, self.gl_residual)
        if self.variant == 'ea':
            self.assistants = self._build_assistants(student['patches'],
                                                     widths)

    def _mixer_heads(self, stages: List[TapSpec], channels: int) -> int:
        """Heads of the student's last stage, unless they are given."""
        heads = self.gl_heads
        if heads is None:
            known = stages[-1].attributes.get('num_heads')
            if not isinstance(known,
                              (list, tuple)) or len(known) != len(stages):
                raise ConfigError(
                    f'TransKD: {stages[-1].path!r} does not say how many '
                    'heads the last stage has; give `gl_heads`')
            heads = known[-1]
        if not isinstance(heads, int) or heads < 1 or channels % heads:
            raise ConfigError(f'TransKD: gl_heads={heads!r} does not divide '
                              f'the {channels} channels of the last stage')
        return heads

    def _build_assistants(self, patches: List[TapSpec],
                          widths: List[Tuple[int, int]]) -> nn.ModuleList:
        if len(patches) != len(widths):
            raise ConfigError(f'TransKD: `patches` has {len(patches)} '
                              f'level(s), but there are {len(widths)} stages')
        geometry = ('kernel_size', 'stride', 'padding', 'dilation')
        assistants = []
        for spec, (_, width), aligned, own in zip(patches, widths,
                                                  self.ea_aligned_init,
                                                  self.ea_own_init):
            if len(spec.shape) != 4 or not all(name in spec.attributes
                                               for name in geometry):
                raise ConfigError(
                    f'TransKD: {spec.path!r} is not the input of a '
                    'convolution; `patches` are those of the patch '
                    "convolutions, such as 'backbone.layers.0.0.projection"
                    "@input'")
            conv = {name: spec.attributes[name] for name in geometry}
            assistants.append(
                EmbeddingAssistant(spec.channels, width, conv, aligned, own))
        return nn.ModuleList(assistants)

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``loss_feature``, ``loss_embedding``, ``loss_logits``."""
        terms = {}
        if 'loss_feature' in batch.active_terms:
            terms['loss_feature'] = self._feature_loss(student['stages'],
                                                       teacher['stages'])
        if 'loss_embedding' in batch.active_terms:
            terms['loss_embedding'] = self._embedding_loss(student, teacher)
        if 'loss_logits' in batch.active_terms:
            terms['loss_logits'] = sum(
                kl_divergence(logits_s, match_size(logits_t, logits_s),
                              self.logits_tau) for logits_s, logits_t in zip(
                                  student['logits'], teacher['logits']))
        return terms

    def _feature_loss(self, stages_s: List[Tensor],
                      stages_t: List[Tensor]) -> Tensor:
        total = 0.0
        for weight, feat_s, feat_t in zip(self.feature_weights,
                                          self.fusion(stages_s), stages_t):
            feat_s = match_size(feat_s, feat_t)
            if not weight:
                loss = zero_like_graph(feat_s)
            elif self.feature_loss == 'hcl':
                loss = hierarchical_context_loss(feat_s, feat_t)
            elif self.feature_loss == 'cwd':
                loss = channel_wise_divergence(feat_s, feat_t,
                                               self.feature_tau)
            else:
                loss = kl_divergence(feat_s, feat_t, self.feature_tau)
            total = total + weight * loss
        return total

    def align(self, student: Dict[str, List[Tensor]]) -> List[Tensor]:
        """The student's embeddings in the teacher's space.

        Args:
            student (dict[str, list[Tensor]]): The student's tensors by role.

        Returns:
            list[Tensor]: Tokens (N, L, C) of each stage; L is the student's,
            C the teacher's.
        """
        aligned = []
        for i, linear in enumerate(self.alignment):
            tokens, _ = _as_tokens(student['embeddings'][i],
                                   student['stages'][i])
            if self.mixer is not None and i == len(self.alignment) - 1:
                tokens = self.mixer(tokens)
            tokens = linear(tokens)
            if self.assistants is not None:
                tokens = self.assistants[i](tokens, student['patches'][i])
            aligned.append(tokens)
        return aligned

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Where the maps and where the embeddings differ, stage by stage."""

        def as_maps(side: Dict[str, List[Tensor]],
                    embeddings: List[Tensor]) -> List[Tensor]:
            maps = []
            for tokens, own, stage in zip(embeddings, side['embeddings'],
                                          side['stages']):
                tokens, _ = _as_tokens(tokens, stage)
                size = _as_tokens(own, stage)[1]
                maps.append(tokens.transpose(1, 2).unflatten(2, tuple(size)))
            return maps

        features = distances(
            self.fusion(student['stages']),
            teacher['stages'],
            'distance of the maps',
            role='stage')
        embeddings = distances(
            as_maps(student, self.align(student)),
            as_maps(teacher, teacher['embeddings']),
            'distance of the embeddings',
            role='stage')
        return [
            visual for stage in zip(features, embeddings) for visual in stage
        ]

    def _embedding_loss(self, student: Dict[str, List[Tensor]],
                        teacher: Dict[str, List[Tensor]]) -> Tensor:
        total = 0.0
        for i, tokens_s in enumerate(self.align(student)):
            if not self.alpha[i]:
                total = total + zero_like_graph(tokens_s)
                continue
            size_s = _as_tokens(student['embeddings'][i],
                                student['stages'][i])[1]
            tokens_t, size_t = _as_tokens(teacher['embeddings'][i],
                                          teacher['stages'][i])
            tokens_s = resize_tokens(tokens_s, size_s, size_t)
            total = total + self.alpha[i] * embedding_loss(tokens_s, tokens_t)
        return total


def _has_weight(weight: WeightLike) -> bool:
    try:
        return bool(build_weight(weight).peak)
    except ConfigError as error:
        raise ConfigError(f'TransKD: {error}') from None


def _check_numbers(name: str, values: Optional[Sequence[float]]) -> None:
    if values is not None and not (isinstance(values, (list, tuple)) and values
                                   and all(
                                       isinstance(value, (int, float))
                                       for value in values)):
        raise ConfigError(f'TransKD: {name} is a list of numbers, but got '
                          f'{values!r}')


def _width(embedding: TapSpec) -> int:
    """Channels of an embedding, which may be tokens or a map."""
    return embedding.shape[-1 if len(embedding.shape) == 3 else 1]


def _check_pyramid(side: str, stages: List[TapSpec],
                   embeddings: List[TapSpec]) -> None:
    """Check that each embedding has the map of its stage.

    Raises:
        ConfigError: If not; names what is missing.
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
