"""Transformer-to-transformer knowledge distillation (TransKD)."""
from typing import Dict, List, Optional, Tuple

from torch import Tensor, nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.logits import check_logits
from mmkd.core.schedule import WeightLike, build_weight
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Visual, distances
from mmkd.errors import ConfigError
from mmkd.methods.transkd.losses import embedding_loss
from mmkd.methods.transkd.modules import (CrossSelectiveFusion,
                                          EmbeddingAssistant, GlobalLocalMixer)
from mmkd.methods.transkd.options import TransKDOptions
from mmkd.methods.transkd.pyramid import (as_tokens, check_pyramid,
                                          embedding_channels, resize_tokens)
from mmkd.ops.channel_wise import channel_wise_divergence
from mmkd.ops.connectors import match_size
from mmkd.ops.distances import hierarchical_context_loss
from mmkd.ops.divergences import kl_divergence
from mmkd.ops.masks import zero_like_graph
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import take_options


@DISTILLERS.register_module()
class TransKD(Distiller):
    """Distil the stages and patch embeddings of hierarchical transformers.

    `TransKD: Transformer Knowledge Distillation for Efficient Semantic
    Segmentation <https://arxiv.org/abs/2202.13393>`_ (Liu et al.). At each
    stage i, the student's feature maps, fused top-down
    (:class:`CrossSelectiveFusion`), are matched to the teacher's F with
    :func:`hierarchical_context_loss` (HCL). The student's patch embeddings,
    after a linear layer (patch embedding alignment, PEA), are matched to the
    teacher's E with the mean squared difference:

    ``L = L_seg + lambda_feature * sum_i HCL(CSF(F_s)_i, F_t_i)
    + lambda_embedding * sum_i alpha_i * MSE(PEA(E_s_i), E_t_i)``

    ``variant='gl'`` adds a :class:`GlobalLocalMixer` before the alignment of
    the last stage, ``variant='ea'`` an :class:`EmbeddingAssistant` in parallel
    to that of every stage. All modules are only used in training and do not
    affect the student's output.

    The networks need an embedding and a map at each stage, such as mmseg's
    ``MixVisionTransformer`` (SegFormer) and mmdet's
    ``PyramidVisionTransformerV2``; for others, name the taps. The student's
    widths may differ, and so may its sizes, which are resized bilinearly to
    the teacher's.

    The values are those of the released code; they were not compared with the
    text of the paper. Deviations from the code:

    - the two weights of the GL-Mixer, which are uninitialised there, start at
      ``gl_init``; (0, 0) is close to the values that they usually have;
    - one squeezing convolution also processes batches of one image, without
      batch normalisation in training; ``single_image_conv=True`` adds the
      separate one of the released code;
    - the teacher runs without gradients, which does not affect the student;
    - probabilities of the optional losses are computed in log space.

    The class weights, the class for ignored pixels, the loss at a quarter of
    the resolution and the schedule of the released training are not part of
    the method and were not ported.

    Args:
        student (dict, optional): Taps of the student by role, each with one
            level per stage from fine to coarse: ``embeddings``, tokens
            (N, L, C) or maps (N, C, H, W); ``stages``, maps (N, C, H, W) of
            the same height and width as the tokens; for ``'ea'``
            ``patches``, the inputs (N, C, H, W) of the patch convolutions;
            for the term ``logits`` ``logits``. Defaults to None: those of the
            network's family.
        teacher (dict, optional): The same for the teacher, which needs no
            ``patches``. Defaults to None.
        weights (dict[str, float | dict], optional): See :class:`Distiller`.
            The term ``logits``, :func:`kl_divergence` of the class scores,
            has the weight 0 by default, as published; there is no such term
            then, and the teacher's head is not run. Defaults to None.
        kwargs: The fields of :class:`TransKDOptions`, such as ``variant``,
            and the arguments of :class:`Distiller`, such as ``loss_weight``.

    Raises:
        ConfigError: If an argument is invalid.
    """

    Options = TransKDOptions
    default_weights = dict(feature=1.0, embedding=1.0, logits=0.0)
    roles = ('embeddings', 'stages')

    def __init__(self,
                 student=None,
                 teacher=None,
                 weights: Optional[Dict[str, WeightLike]] = None,
                 **kwargs) -> None:
        options = take_options(TransKDOptions, kwargs)
        # The roles depend on the options.
        self.teacher_roles = self.roles
        with_logits = _has_weight((weights or {}).get('logits', 0.))
        if with_logits:
            self.teacher_roles += ('logits', )
        self.roles = self.teacher_roles
        if options.variant == 'ea':
            self.roles += ('patches', )
        super().__init__(
            student=student, teacher=teacher, weights=weights, **kwargs)
        if not with_logits:
            del self.weights['logits']
        self.options = options

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Check both networks, and build the modules for their widths."""
        for side, specs in (('student', student), ('teacher', teacher)):
            check_pyramid(side, specs['stages'], specs['embeddings'])
        super().setup(student, teacher)
        options, num_stages = self.options, len(student['stages'])
        self.embedding_weights = options.embedding_weights
        self.feature_weights = options.feature_weights or [1.0] * num_stages
        per_stage = dict(
            embedding_weights=self.embedding_weights,
            feature_weights=self.feature_weights)
        if options.variant == 'ea':
            per_stage.update(
                ea_aligned_init=options.ea_aligned_init,
                ea_own_init=options.ea_own_init)
        for name, values in per_stage.items():
            if len(values) != num_stages:
                raise ConfigError(
                    f'TransKD: {name} has {len(values)} number(s), but there '
                    f'are {num_stages} stages; give one for each')
        if 'logits' in self.roles:
            check_logits('TransKD', student['logits'], teacher['logits'])

        self.fusion = CrossSelectiveFusion(
            [spec.channels for spec in student['stages']],
            [spec.channels
             for spec in teacher['stages']], options.mid_channels,
            options.squeeze_norm, options.single_image_conv)
        widths = [(embedding_channels(spec_s), embedding_channels(spec_t))
                  for spec_s, spec_t in zip(student['embeddings'],
                                            teacher['embeddings'])]
        self.alignment = nn.ModuleList(
            nn.Linear(width_s, width_t) for width_s, width_t in widths)
        self.mixer: Optional[GlobalLocalMixer] = None
        self.assistants: Optional[nn.ModuleList] = None
        if options.variant == 'gl':
            self.mixer = GlobalLocalMixer(
                widths[-1][0],
                self._mixer_heads(student['stages'], widths[-1][0]),
                options.gl_init, options.gl_residual)
        if options.variant == 'ea':
            self.assistants = self._build_assistants(student['patches'],
                                                     widths)

    def _mixer_heads(self, stages: List[TapSpec], channels: int) -> int:
        """Attention heads of the mixer; by default, of the student's last
        stage."""
        heads = self.options.gl_heads
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
                                                  self.options.ea_aligned_init,
                                                  self.options.ea_own_init):
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
        """Compute ``feature``, ``embedding``, ``logits``."""
        terms = {}
        if 'feature' in batch.active_terms:
            terms['feature'] = self._feature_loss(student['stages'],
                                                  teacher['stages'])
        if 'embedding' in batch.active_terms:
            terms['embedding'] = self._embedding_loss(student, teacher)
        if 'logits' in batch.active_terms:
            terms['logits'] = sum(
                kl_divergence(logits_s, match_size(logits_t, logits_s),
                              self.options.logits_tau) for logits_s, logits_t
                in zip(student['logits'], teacher['logits']))
        return terms

    def _feature_loss(self, stages_s: List[Tensor],
                      stages_t: List[Tensor]) -> Tensor:
        total = 0.0
        for weight, feat_s, feat_t in zip(self.feature_weights,
                                          self.fusion(stages_s), stages_t):
            feat_s = match_size(feat_s, feat_t)
            if not weight:
                loss = zero_like_graph(feat_s)
            elif self.options.feature_loss == 'hcl':
                loss = hierarchical_context_loss(feat_s, feat_t)
            elif self.options.feature_loss == 'cwd':
                loss = channel_wise_divergence(feat_s, feat_t,
                                               self.options.feature_tau)
            else:
                loss = kl_divergence(feat_s, feat_t, self.options.feature_tau)
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
            tokens, _ = as_tokens(student['embeddings'][i],
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
        """The distances of the maps and of the embeddings, stage by stage."""

        def as_maps(side: Dict[str, List[Tensor]],
                    embeddings: List[Tensor]) -> List[Tensor]:
            maps = []
            for tokens, own, stage in zip(embeddings, side['embeddings'],
                                          side['stages']):
                tokens, _ = as_tokens(tokens, stage)
                size = as_tokens(own, stage)[1]
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
            if not self.embedding_weights[i]:
                total = total + zero_like_graph(tokens_s)
                continue
            size_s = as_tokens(student['embeddings'][i],
                               student['stages'][i])[1]
            tokens_t, size_t = as_tokens(teacher['embeddings'][i],
                                         teacher['stages'][i])
            tokens_s = resize_tokens(tokens_s, size_s, size_t)
            total = total + self.embedding_weights[i] * embedding_loss(
                tokens_s, tokens_t)
        return total


def _has_weight(weight: WeightLike) -> bool:
    try:
        return bool(build_weight(weight).peak)
    except ConfigError as error:
        raise ConfigError(f'TransKD: {error}') from None
