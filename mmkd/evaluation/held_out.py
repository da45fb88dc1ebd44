"""What a student has learned, measured without labels or with few."""
from typing import Any, Dict, List, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric
from torch import Tensor, nn

from mmkd.registry import METRICS

#: Images to compare with all others at a time, which bounds the memory.
_ROWS = 1024


@METRICS.register_module()
class HeldOutMetric(BaseMetric):
    """Measures of a run without labels, on images that it does not train on.

    The model is a :class:`~mmkd.core.model.DistillationModel` without labels,
    whose ``val_step`` gives the embeddings of the images, means over the
    cells of their maps.

    - The mean of each loss.
    - ``cos``: cosine of the student's embedding, as the method compares it,
      with the teacher's; ``cos_centred``: the same, less the means over the
      images. Raw embeddings of different images are often alike.
    - ``mutual_knn``: share of the nearest images that are the same for
      student and teacher; needs no projection.
    - ``knn`` and ``linear``, on the images with a label: accuracy of a vote
      of the nearest others, and of a logistic regression, by the student's
      embedding.

    With several distillers, names begin with that of the distiller; ``knn``
    and ``linear`` are of the first.

    Args:
        kwargs: Arguments of mmengine's ``BaseMetric``.
    """

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what was measured on each image."""
        self.results += data_samples

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Compute all measures."""
        held_out = [x for x in results if x['label'] is None]
        probe = [x for x in results if x['label'] is not None]
        found: Dict[str, float] = {}
        names = list(results[0]['embeddings'])
        if held_out:
            for name in held_out[0]['losses']:
                values = [x['losses'][name] for x in held_out]
                found[name] = sum(values) / len(values)
        if len(held_out) > 2:
            for name in names:
                prefix = '' if len(names) == 1 else f'{name}.'
                for key, value in similarities(
                        *_columns(held_out, name)).items():
                    found[prefix + key] = value
        if probe and names:
            embed = _columns(probe, names[0])[0]
            labels = torch.tensor([x['label'] for x in probe])
            found['knn'] = knn_accuracy(embed, labels)
            found['linear'] = linear_accuracy(embed, labels)
        return found


def _columns(results: List[dict], name: str) -> List[Tensor]:
    """The embeddings of a distiller, (N, D) each."""
    rows = [x['embeddings'][name] for x in results]
    return [torch.from_numpy(np.stack(column)) for column in zip(*rows)]


def similarities(student: Tensor, teacher: Tensor, *compared:
                 Tensor) -> Dict[str, float]:
    """``mutual_knn``; and, if the compared embeddings of both are given,
    ``cos`` and ``cos_centred``.

    Args:
        student (Tensor): Embeddings (N, D).
        teacher (Tensor): Embeddings (N, D').
        compared (Tensor): None, or those of student and teacher, (N, D")
            each.
    """
    found = {}
    if compared:
        own, theirs = compared
        found['cos'] = F.cosine_similarity(own, theirs).mean().item()
        found['cos_centred'] = F.cosine_similarity(
            own - own.mean(0), theirs - theirs.mean(0)).mean().item()
    found['mutual_knn'] = mutual_knn(student, teacher)
    return found


def mutual_knn(first: Tensor, second: Tensor, k: int = 10) -> float:
    """Mean share of the k nearest images, by cosine, that two kinds of
    embeddings have in common.

    `The Platonic Representation Hypothesis
    <https://arxiv.org/abs/2405.07987>`_.

    Args:
        first (Tensor): Embeddings (N, D).
        second (Tensor): Embeddings (N, D').
        k (int): Number of neighbours, at most N - 1. Defaults to 10.
    """
    one, other = (_nearest(x, k)[1] for x in (first, second))
    return (one[:, :, None] == other[:, None]).any(-1).float().mean().item()


def knn_accuracy(embed: Tensor,
                 labels: Tensor,
                 k: int = 20,
                 tau: float = 0.07) -> float:
    """Accuracy of the vote of the k nearest other images, by cosine, each
    with the weight exp(cosine / tau).

    Args:
        embed (Tensor): Embeddings (N, D).
        labels (Tensor): (N, ), integer.
        k (int): Number of neighbours, at most N - 1. Defaults to 20.
        tau (float): Temperature. Defaults to 0.07.
    """
    cosine, nearest = _nearest(embed, k)
    votes = torch.zeros(len(embed), int(labels.max()) + 1)
    votes.scatter_add_(1, labels[nearest], (cosine / tau).exp())
    return (votes.argmax(1) == labels).float().mean().item()


def linear_accuracy(embed: Tensor, labels: Tensor) -> float:
    """Accuracy of a multinomial logistic regression.

    The first, third, ... image of each class predict the others, and the
    other way round.

    Args:
        embed (Tensor): Embeddings (N, D).
        labels (Tensor): (N, ), integer.
    """
    embed = (embed - embed.mean(0)) / embed.std(0).clamp(min=1e-6)
    earlier = torch.empty_like(labels)
    for label in labels.unique():
        own = labels == label
        earlier[own] = torch.arange(int(own.sum()))
    right = torch.zeros(len(embed), dtype=torch.bool)
    for fold in (0, 1):
        test = earlier % 2 == fold
        if test.all():  # one image of each class
            continue
        classifier = _fitted(embed[~test], labels[~test],
                             int(labels.max()) + 1)
        right[test] = classifier(embed[test]).argmax(1) == labels[test]
    return right.float().mean().item()


@torch.enable_grad()
def _fitted(embed: Tensor, labels: Tensor, classes: int) -> nn.Linear:
    """A logistic regression with some weight decay."""
    classifier = nn.Linear(embed.shape[1], classes)
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    optimizer = torch.optim.LBFGS(classifier.parameters(), max_iter=100)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(classifier(embed), labels)
        loss = loss + 1e-3 * classifier.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return classifier


def _nearest(embed: Tensor, k: int) -> Any:
    """Cosines (N, k) and indices (N, k) of the nearest other embeddings."""
    unit = F.normalize(embed, dim=1)
    found = []
    for rows in torch.arange(len(unit)).split(_ROWS):
        cosine = unit[rows] @ unit.T
        cosine[torch.arange(len(rows)), rows] = -torch.inf
        found.append(cosine.topk(min(k, len(embed) - 1)))
    cosines, indices = zip(*found)
    return torch.cat(cosines), torch.cat(indices)
