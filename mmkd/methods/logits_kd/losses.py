"""Divergences of class scores, on maps (N, C, H, W).

Each takes :class:`Scores` and a temperature, and returns its terms as
scalars. The factor tau squared is part of a term.
"""
import math
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.divergences import class_divergence, comparable_logits
from mmkd.ops.masks import label_maps, mean_over_valid
from mmkd.ops.precision import full_precision

_EPS = 1e-8
_MAX_ROWS = 1024


class Scores(NamedTuple):
    """The logits of both sides.

    Attributes:
        student (Tensor): (N, C, H, W), finite in all cells.
        teacher (Tensor): Likewise, without gradient.
        valid (Tensor, optional): Cells to include, bool (N, 1, H, W). None
            means all.
        classes (Tensor, optional): Class of each cell, (N, 1, H, W), int64;
            any class in excluded cells.
        weights (Tensor, optional): Weight of each cell, broadcastable to
            (N, 1, H, W). None means 1.
        divisor (Tensor, optional): Scalar by which to divide the sum over the
            cells. None means their mean in each image, then the mean over the
            images.
    """
    student: Tensor
    teacher: Tensor
    valid: Optional[Tensor] = None
    classes: Optional[Tensor] = None
    weights: Optional[Tensor] = None
    divisor: Optional[Tensor] = None

    def mean(self, values: Tensor) -> Tensor:
        """Sum over classes, weighted mean over the valid cells."""
        values = values.sum(dim=1, keepdim=True)
        if self.weights is not None:
            values = values * self.weights
        if self.divisor is None:
            return mean_over_valid(values, self.valid)
        if self.valid is not None:
            values = values.masked_fill(~self.valid, 0)
        return values.sum() / self.divisor


@torch.no_grad()
def cell_classes(labels: Tensor, size: Tuple[int, int], num_classes: int,
                 ignore_index: int) -> Tuple[Tensor, Tensor]:
    """Class of the pixel at the centre of each cell.

    Args:
        labels (Tensor): Integer labels (N, Hg, Wg) or (N, 1, Hg, Wg).
        size (Tuple[int, int]): Height and width (H, W) of the grid.
        num_classes (int): Number of classes.
        ignore_index (int): Label of pixels to ignore.

    Returns:
        Tuple[Tensor, Tensor]: Classes (N, 1, H, W), int64, and which of them
        are labels of a class, bool (N, 1, H, W); the others are 0.
    """
    maps = label_maps(labels).unsqueeze(1).float()
    classes = F.interpolate(maps, size, mode='nearest-exact').long()
    known = (classes >= 0) & (classes < num_classes)
    known &= classes != ignore_index
    return classes.masked_fill(~known, 0), known


def standardise(logits: Tensor, min_std: float = 1e-6) -> Tensor:
    """Standardise the logits of each cell over its classes.

    `Logit Standardization in Knowledge Distillation
    <https://arxiv.org/abs/2403.01427>`_ by Sun et al.

    Args:
        logits (Tensor): (N, C, H, W) with at least two classes.
        min_std (float): Cells whose standard deviation is at most this value
            become 0 without gradient. Defaults to 1e-6.

    Returns:
        Tensor: (N, C, H, W).
    """
    std, mean = torch.std_mean(logits, dim=1, keepdim=True)
    # A finite number divided by infinity is 0, and so is its gradient.
    return (logits - mean) / (std + 1e-7).masked_fill(std <= min_std,
                                                      torch.inf)


def kl(scores: Scores, tau: float) -> Dict[str, Tensor]:
    """Divergence from the teacher's probabilities; see ``kl_divergence``."""
    return dict(
        loss=scores.mean(
            class_divergence(scores.student, scores.teacher, tau)))


def _correlation(a: Tensor, b: Tensor, dim: Tuple[int, ...]) -> Tensor:
    """Correlation of centred tensors over some dimensions."""
    norms = torch.linalg.vector_norm(
        a, dim=dim, keepdim=True) * torch.linalg.vector_norm(
            b, dim=dim, keepdim=True)
    product = (a * b).sum(dim=dim, keepdim=True)
    # Rounding must not make the loss negative.
    return (product / (norms + _EPS)).clamp(max=1)


def _by_anchor(scores: Scores, anchors: int) -> Scores:
    """Scores of each anchor (N * A, K, H, W), from maps (N, A * K, H, W)."""
    logits_s, logits_t = (
        logits.unflatten(1, (anchors, -1)).flatten(0, 1)
        for logits in (scores.student, scores.teacher))
    valid = scores.valid
    if valid is not None:
        valid = valid.repeat_interleave(
            anchors, dim=0, output_size=len(logits_s))
    return Scores(logits_s, logits_t, valid)


def dist(scores: Scores,
         tau: float,
         sigmoid: bool = False,
         anchors: int = 1) -> Dict[str, Tensor]:
    """Correlations of the probabilities, within cells and within classes.

    `Knowledge Distillation from A Stronger Teacher
    <https://arxiv.org/abs/2205.10536>`_ (DIST) by Huang et al. The term
    ``inter`` is 1 minus the correlation over the classes of a cell, averaged
    over the cells of the batch; ``intra`` is 1 minus the correlation over the
    cells of the batch of a class, averaged over the classes. With
    ``sigmoid``, the probabilities are sigmoids in place of a softmax; with
    ``anchors``, each of so many parts of the channels is a cell of its own.
    """
    if anchors > 1:
        scores = _by_anchor(scores, anchors)
    prob_s, prob_t = ((logits / tau).sigmoid() if sigmoid else F.softmax(
        logits / tau, dim=1) for logits in (scores.student, scores.teacher))
    within_cells = _correlation(
        *(prob - prob.mean(dim=1, keepdim=True) for prob in (prob_s, prob_t)),
        (1, ))
    weights = torch.ones_like(
        within_cells) if scores.valid is None else scores.valid.to(
            within_cells.dtype)
    number = weights.sum()
    inter = ((1 - within_cells) * weights).sum() / number.clamp(min=1)

    cells = (0, 2, 3)
    centred = []
    for prob in (prob_s, prob_t):
        total = (prob * weights).sum(dim=cells, keepdim=True)
        centred.append((prob - total / number.clamp(min=1)) * weights)
    within_classes = _correlation(*centred, cells)
    intra = (1 - within_classes).mean() * number.clamp(max=1)
    return dict(inter=tau**2 * inter, intra=tau**2 * intra)


def _without_target(logits: Tensor, classes: Tensor) -> Tuple[Tensor, Tensor]:
    """Probabilities of the classes other than the labelled one.

    Returns:
        Tuple[Tensor, Tensor]: Their logarithms (N, C, H, W), 0 at the label;
        and the logarithm of the sum of their exponentials (N, 1, H, W).
    """
    others = logits.scatter(1, classes, -torch.inf)
    log_prob = F.log_softmax(others, dim=1).scatter(1, classes, 0.)
    return log_prob, torch.logsumexp(others, dim=1, keepdim=True)


def dkd(scores: Scores, tau: float) -> Dict[str, Tensor]:
    """KL divergence in two parts with weights of their own.

    `Decoupled Knowledge Distillation <https://arxiv.org/abs/2203.08679>`_ by
    Zhao et al. The term ``target`` is the divergence of the probability of
    the labelled class and of all others together, ``non_target`` that among
    the others.
    """
    parts = []
    for logits in (scores.student / tau, scores.teacher / tau):
        log_others, rest = _without_target(logits, scores.classes)
        whole = torch.logsumexp(logits, dim=1, keepdim=True)
        target = logits.gather(1, scores.classes)
        parts.append((log_others, target - whole, rest - whole))
    (others_s, target_s, rest_s), (others_t, target_t, rest_t) = parts
    target = target_t.exp() * (target_t - target_s) + rest_t.exp() * (
        rest_t - rest_s)
    # Both logarithms are 0 at the label.
    others = others_t.exp() * (others_t - others_s)
    return dict(
        target=tau**2 * scores.mean(target),
        non_target=tau**2 * scores.mean(others))


def nkd(scores: Scores, tau: float) -> Dict[str, Tensor]:
    """Cross entropies of the labelled class and among the others.

    `From Knowledge Distillation to Self-Knowledge Distillation
    <https://arxiv.org/abs/2303.13005>`_ by Yang et al. The term ``target``
    has the temperature 1. Neither is 0 for equal logits.
    """
    target_s, target_t = (
        logits.gather(1, scores.classes) -
        torch.logsumexp(logits, dim=1, keepdim=True)
        for logits in (scores.student, scores.teacher))
    others_s, _ = _without_target(scores.student / tau, scores.classes)
    others_t, _ = _without_target(scores.teacher / tau, scores.classes)
    # The student's logarithm is 0 at the label.
    return dict(
        target=scores.mean(-target_t.exp() * target_s),
        non_target=tau**2 * scores.mean(-others_t.exp() * others_s))


def binary(scores: Scores, tau: float) -> Dict[str, Tensor]:
    """Sum over the classes of the divergence of sigmoid probabilities."""
    logits_s, logits_t = scores.student / tau, scores.teacher / tau
    yes = F.softplus(-logits_s) - F.softplus(-logits_t)
    no = F.softplus(logits_s) - F.softplus(logits_t)
    loss = logits_t.sigmoid() * yes + (-logits_t).sigmoid() * no
    return dict(loss=tau**2 * scores.mean(loss))


def binary_norm(scores: Scores, tau: float) -> Dict[str, Tensor]:
    """Sum over the classes of the divergence of the sigmoid of the difference
    from 1/2.

    `Dual-Head Knowledge Distillation <https://arxiv.org/abs/2411.08937>`_ by
    Yang et al. It is like an L1 distance of the logits that is smooth at 0.
    """
    gap = (scores.student - scores.teacher) / tau
    loss = (F.softplus(gap) + F.softplus(-gap)) / 2 - math.log(2)
    return dict(loss=tau**2 * scores.mean(loss))


def pld(scores: Scores, tau: float) -> Dict[str, Tensor]:
    """Likelihood of the teacher's ranking of the classes, weighted by its
    probabilities.

    `PLD <https://arxiv.org/abs/2506.12542>`_. The labelled class comes first,
    and equal logits are ranked by class. The temperature is the teacher's
    only. It is not 0 for equal logits.
    """
    ranking = scores.teacher.scatter(1, scores.classes, torch.inf).argsort(
        dim=1, descending=True, stable=True)
    prob_t = F.softmax(scores.teacher / tau, dim=1).gather(1, ranking)
    ranked = scores.student.gather(1, ranking)
    remaining = ranked.flip(1).logcumsumexp(dim=1).flip(1)
    return dict(loss=scores.mean(prob_t * (remaining - ranked)))


def balanced(scores: Scores, tau: float, nu: float) -> Dict[str, Tensor]:
    """KL divergence in both directions, with the weights 1 and ``nu``.

    A form in the spirit of `BD-KD <https://arxiv.org/abs/2212.12965>`_, whose
    weights are not known to us. Where the student's probabilities have a
    lower entropy than the teacher's, the divergence from the teacher has the
    weight ``nu``; elsewhere the reverse one.
    """
    log_s = F.log_softmax(scores.student / tau, dim=1)
    log_t = F.log_softmax(scores.teacher / tau, dim=1)
    prob_s, prob_t = log_s.exp(), log_t.exp()
    forward, reverse = (
        x.sum(dim=1, keepdim=True)
        for x in (prob_t * (log_t - log_s), prob_s * (log_s - log_t)))
    with torch.no_grad():
        confident = (prob_t * log_t - prob_s * log_s).sum(
            dim=1, keepdim=True) < 0
    forward = torch.where(confident, nu * forward, forward)
    reverse = torch.where(confident, reverse, nu * reverse)
    return dict(loss=tau**2 * scores.mean(forward + reverse))


def _sample_rows(scores: Scores) -> Tuple[Tensor, Tensor, Tensor]:
    """At most 1024 cells of the batch, valid ones first, at random.

    Returns:
        Tuple[Tensor, Tensor, Tensor]: The logits of both sides (R, C), and
        which rows are valid, (R, ), 1 or 0.
    """
    rows_s, rows_t = (
        x.permute(0, 2, 3, 1).reshape(-1, x.size(1))
        for x in (scores.student, scores.teacher))
    weights = rows_s.new_ones(
        len(rows_s)) if scores.valid is None else scores.valid.reshape(-1).to(
            rows_s.dtype)
    if len(rows_s) > _MAX_ROWS:
        chosen = (weights + torch.rand_like(weights)).topk(_MAX_ROWS).indices
        rows_s, rows_t, weights = (
            x.index_select(0, chosen) for x in (rows_s, rows_t, weights))
    return rows_s, rows_t, weights


def sinkhorn(scores: Scores, tau: float, eps: float,
             rounds: float) -> Dict[str, Tensor]:
    """Cost of moving the student's probabilities to the teacher's, with a
    smoothed plan over the cells.

    `Sinkhorn Distance Minimization for Knowledge Distillation
    <https://arxiv.org/abs/2402.17110>`_ by Cui et al. At most 1024 cells of
    the batch are taken, at random. The published loss is the sum over the
    cells; this is their mean. It is not 0 for equal logits.
    """
    logits_s, logits_t, weights = _sample_rows(scores)
    cost = torch.cdist(
        F.softmax(logits_s / tau, dim=1),
        F.softmax(logits_t / tau, dim=1),
        p=1.0)
    plan = torch.exp(-cost / eps) * weights[:, None] * weights
    # Divisors of rows that take no part.
    unused = 1 - weights
    for _ in range(int(rounds)):
        plan = plan / (plan.sum(dim=1) + unused)[:, None]
        plan = plan / (plan.sum(dim=0) + unused)
    return dict(loss=(plan * cost).sum() / weights.sum().clamp(min=1))


class Divergence(NamedTuple):
    """A divergence and its defaults.

    Attributes:
        terms (Callable): Computes its terms.
        weights (dict[str, float]): Default weights of its terms.
        tau (float): Default temperature.
        needs_labels (bool): Whether it reads the class of a cell.
        min_classes (int): Fewest classes for which it says anything.
        options (Mapping[str, float]): Further arguments of ``terms``,
            positive numbers.
        for_sigmoids (bool): Whether it suits all scores of a head of
            sigmoids, which has no background class. The others suit those of
            objects only.
        couples_cells (bool): Whether it compares cells with each other, so
            that they have no weights and no other mean.
    """
    terms: Callable[..., Dict[str, Tensor]]
    weights: Dict[str, float] = dict(loss=1.0)
    tau: float = 1.0
    needs_labels: bool = False
    min_classes: int = 2
    options: Mapping[str, float] = {}
    for_sigmoids: bool = False
    couples_cells: bool = False


DIVERGENCES = dict(
    kl=Divergence(kl),
    dist=Divergence(
        dist,
        dict(inter=1.0, intra=1.0),
        options=dict(anchors=1),
        for_sigmoids=True,
        couples_cells=True),
    dkd=Divergence(dkd, dict(target=1.0, non_target=1.0), needs_labels=True),
    nkd=Divergence(nkd, dict(target=1.0, non_target=1.5), needs_labels=True),
    binary=Divergence(binary, tau=2.0, min_classes=1, for_sigmoids=True),
    binary_norm=Divergence(
        binary_norm, tau=2.0, min_classes=1, for_sigmoids=True),
    pld=Divergence(pld, needs_labels=True),
    sinkhorn=Divergence(
        sinkhorn,
        tau=2.0,
        options=dict(eps=0.1, rounds=20),
        couples_cells=True),
    balanced=Divergence(balanced, options=dict(nu=2.0)))


@full_precision
def class_score_losses(divergence: str,
                       logits_s: Tensor,
                       logits_t: Tensor,
                       tau: float,
                       valid: Optional[Tensor] = None,
                       classes: Optional[Tensor] = None,
                       standardised: bool = False,
                       weights: Optional[Tensor] = None,
                       divisor: Optional[Tensor] = None,
                       teacher_share: float = 1.0,
                       **options: float) -> Dict[str, Tensor]:
    """Terms of a divergence of class scores.

    Args:
        divergence (str): A key of ``DIVERGENCES``.
        logits_s (Tensor): Student's logits (N, C, H, W).
        logits_t (Tensor): Teacher's logits (N, C, H, W); no gradient.
        tau (float): Temperature.
        valid (Tensor, optional): Cells to include, (N, 1, H, W) or
            (N, H, W). Defaults to None, which means all.
        classes (Tensor, optional): Class of each cell, (N, 1, H, W), int64,
            for divergences with labels. Defaults to None.
        standardised (bool): Whether to standardise the logits first.
            Defaults to False.
        weights (Tensor, optional): See :class:`Scores`. Defaults to None.
        divisor (Tensor, optional): See :class:`Scores`. Defaults to None.
        teacher_share (float): Share of the teacher's logits in the target;
            the rest is the student's, without gradient. Defaults to 1.0.
        options (float): Options of the divergence, for others than its
            defaults.

    Returns:
        Dict[str, Tensor]: Scalars; zeros attached to the graph without a
        valid cell.
    """
    logits_s, logits_t, valid = comparable_logits(logits_s, logits_t, tau,
                                                  valid)
    if teacher_share < 1:
        logits_t = logits_s.detach().lerp(logits_t, teacher_share)
    if standardised:
        logits_s, logits_t = standardise(logits_s), standardise(logits_t)
    chosen = DIVERGENCES[divergence]
    return chosen.terms(
        Scores(logits_s, logits_t, valid, classes, weights, divisor), tau, **{
            **chosen.options,
            **options
        })
