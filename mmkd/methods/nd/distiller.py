"""Norm and direction of the embeddings of boxes (ND)."""
import re
from typing import Any, Dict, List, Literal, Mapping, Optional

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.logits import check_tau
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError, MismatchError
from mmkd.methods.nd.losses import norm_direction_distance, pyramid_distance
from mmkd.methods.nd.review import ReviewFusion
from mmkd.ops.divergences import kl_divergence
from mmkd.ops.masks import zero_like_graph
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices
from mmkd.utils.checkpoint import read_file

#: Default weights by variant, those of R101 to R50.
WEIGHTS = dict(
    kd=dict(nd=1., kd=1.), review=dict(nd=1., review=1.4), none=dict(nd=1.))
#: What each variant reads in the student beside the embeddings.
ROLES = dict(kd=('roi_logits', ), review=('neck', ), none=())


@DISTILLERS.register_module()
class ND(Distiller):
    r"""Embeddings of boxes along the teacher's class means, and as long.

    `Improving Knowledge Distillation via Regularizing Feature Norm and
    Direction <https://arxiv.org/abs/2305.17007>`_ (Wang et al., ECCV 2024),
    for Faster and Mask R-CNN. The boxes on which the student's RoI head trains
    are pooled on the maps of both networks, each with its own box head:

    - ``nd``: :func:`norm_direction_distance` of the classifiers' inputs, with
      the assigned classes;
    - ``kd`` (KD++): divergence of the class scores, with the background;
    - ``review`` (ReviewKD++): :func:`pyramid_distance` of the teacher's
      pyramid and the fused one of the student (:class:`ReviewFusion`), summed
      over the levels.

    The class means are those of the teacher's embeddings of the boxes of the
    first ``mean_iters`` iterations in which the method is active, over all
    processes; they stay as they are afterwards. The authors gather them in a
    run of their own, which ``means`` does.

    Args:
        variant (str): What ``nd`` is added to: ``'kd'``, ``'review'`` or
            ``'none'``, for another distiller beside this one. Defaults to
            ``'kd'``.
        roi_classes (int, optional): Number of classes. In a config, the
            networks settle it, and the next one.
        teacher_channels (int, optional): Channels of the teacher's
            embeddings.
        connector (str, optional): ``'linear'`` maps the student's embeddings
            to the teacher's channels; None needs equal ones, as published.
            Defaults to None.
        mean_iters (int): Active iterations in which means are gathered.
            Defaults to 2000.
        means (str, optional): Checkpoint of an earlier run with ND and this
            teacher, whose means are taken in place of gathering any. Defaults
            to None.
        use_background (bool): Whether ``nd`` includes boxes of the
            background, as published. Defaults to True.
        tau (float): Temperature of ``kd``. Defaults to 1.
        kwargs: Arguments of :class:`Distiller`. Defaults of ``weights`` are 1
            for ``nd`` and ``kd``, and 1.4 for ``review``.

    Raises:
        ConfigError: If an option is invalid, or the networks do not match.
    """
    teacher_roles = ('neck', )
    needs_rois = True
    needs_labels = True
    steps: Tensor

    def __init__(self,
                 variant: Literal['kd', 'review', 'none'] = 'kd',
                 roi_classes: Optional[int] = None,
                 teacher_channels: Optional[int] = None,
                 connector: Optional[Literal['linear']] = None,
                 mean_iters: int = 2000,
                 means: Optional[str] = None,
                 use_background: bool = True,
                 tau: float = 1.,
                 **kwargs) -> None:
        check_choices('ND', ND, variant=variant, connector=connector)
        check_tau('ND', tau=tau)
        if roi_classes is None or teacher_channels is None:
            raise MismatchError(
                'ND reads the RoI heads of student and teacher, which these '
                'networks do not both have; it serves Faster and Mask R-CNN')
        if mean_iters < 1:
            raise ConfigError('ND: mean_iters must be 1 or more, but is '
                              f'{mean_iters}')
        self.default_weights = WEIGHTS[variant]
        self.roles = ('roi_embeddings', *ROLES[variant])
        super().__init__(**kwargs)
        self.variant, self.tau = variant, tau
        self.connector_cfg = connector
        self.mean_iters = 0 if means else mean_iters
        self.num_classes, self.use_background = roi_classes, use_background
        self.register_buffer('sums',
                             torch.zeros(roi_classes + 1, teacher_channels))
        self.register_buffer('counts', torch.zeros(roi_classes + 1))
        # Iterations that gathered means, and what the host knows of it
        # without waiting.
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))
        self._steps = 0
        if means:
            self._load_means(means)

    @classmethod
    def settled_options(
            cls, student: Mapping[str, Any],
            teachers: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
        """See the base class; the RoI heads settle classes and channels."""
        options = super().settled_options(student, teachers)
        teacher = teachers.get('teacher') or next(iter(teachers.values()), {})
        if 'roi_channels' in teacher:
            options['teacher_channels'] = teacher['roi_channels']
        return options

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Compare the embeddings; build what maps the student."""
        super().setup(student, teacher)
        self._teacher = teacher['neck'][0].network or ''
        own, theirs = student['roi_embeddings'][0].channels, self.sums.size(1)
        if own != theirs and self.connector_cfg is None:
            raise ConfigError(
                f'ND: the embeddings of the student have {own} channels and '
                f"those of the teacher {theirs}; connector='linear' maps them")
        self.connector = nn.Identity() if self.connector_cfg is None \
            else nn.Linear(own, theirs)
        if self.variant == 'review':
            self.review = ReviewFusion(
                *([spec.channels for spec in side['neck']]
                  for side in (student, teacher)))

    def _load_means(self, path: str) -> None:
        """Read the class means of an earlier run."""
        content = read_file(path)
        weights = content.get('state_dict', {}) if isinstance(content,
                                                              dict) else {}
        found = [x for x in weights if re.fullmatch(r'distill\.\w+\.sums', x)]
        if len(found) != 1:
            raise ConfigError(
                f'ND: {path} has the class means of {len(found)} distillers; '
                'give the checkpoint of a run with one ND (not an export)')
        for name, own in (('sums', self.sums), ('counts', self.counts)):
            theirs = weights[found[0][:-len('sums')] + name]
            if theirs.shape != own.shape:
                raise ConfigError(
                    f'ND: the class means of {path} have the shape '
                    f'{tuple(theirs.shape)}, but these networks need '
                    f'{tuple(own.shape)}; were they of this teacher?')
            own.copy_(theirs)

    @torch.no_grad()
    def _gather(self, embeddings: Tensor, labels: Tensor,
                iteration: int) -> None:
        """Add embeddings (R, E) to the means of their classes (R, ), in the
        first active iterations."""
        if self._steps < 0:  # see `_load_from_state_dict`
            self._steps = iteration
            self.steps.fill_(iteration)
        if self._steps >= self.mean_iters:
            return
        sums, counts = torch.zeros_like(self.sums), torch.zeros_like(
            self.counts)
        sums.index_add_(0, labels, embeddings.to(sums))
        counts.index_add_(0, labels, torch.ones_like(labels).to(counts))
        for total, new in ((self.sums, sums), (self.counts, counts)):
            all_reduce(new)
            total += new
        self._steps += 1
        self.steps += 1

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args:
                              Any) -> None:
        """Load the means; a checkpoint without ``steps`` gathered them in the
        first iterations of its run."""
        counts = state_dict.get(f'{prefix}counts')
        if counts is not None:
            state_dict.setdefault(f'{prefix}steps',
                                  torch.tensor(-1 if counts.any() else 0))
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._steps = int(self.steps)

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Terms by name; see the class."""
        labels = batch.roi_samples.labels
        found = batch.roi_features(self._teacher, teacher['neck'])
        if self.training:
            self._gather(found.embeddings, labels, batch.progress.iter)
        included = None if self.use_background else labels < self.num_classes
        terms = dict(
            nd=norm_direction_distance(
                self.connector(student['roi_embeddings'][0]), found.embeddings,
                self.sums, labels, included))
        if self.variant == 'kd':
            terms['kd'] = self._divergence(student['roi_logits'][0],
                                           found.logits)
        elif self.variant == 'review':
            terms['review'] = sum(
                map(pyramid_distance, self.review(student['neck']),
                    teacher['neck']))
        return terms

    def _divergence(self, logits_s: Tensor, logits_t: Tensor) -> Tensor:
        """Divergence of class scores (R, K + 1), averaged over the boxes."""
        if not len(logits_s):
            return zero_like_graph(logits_s)
        return kl_divergence(logits_s[:, :, None, None],
                             logits_t[:, :, None, None], self.tau)
