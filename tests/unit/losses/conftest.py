"""The losses once more, in plain Python, for small maps.

Tests get them as the fixture ``reference``.
"""
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F


@pytest.fixture
def reference():
    """The plain forms, by the names of the losses."""
    return SimpleNamespace(
        kl_divergence=kl_divergence,
        channel_wise_divergence=channel_wise_divergence,
        edge_loss=edge_loss,
        edge_masks=edge_masks)


@pytest.fixture
def pair():
    """Make seeded random logits of student and teacher."""

    def make(*shape, seed=0, scale=2.0):
        generator = torch.Generator().manual_seed(seed)
        logits_s = scale * torch.randn(shape, generator=generator)
        logits_t = scale * torch.randn(shape, generator=generator)
        return logits_s.requires_grad_(), logits_t.requires_grad_()

    return make


@pytest.fixture
def draw_labels():
    """Make seeded label maps of blobs, some of them ignored."""

    def make(num_images,
             height,
             width,
             num_classes,
             seed=0,
             ignored=0.1,
             ignore_index=255):
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand((num_images, num_classes, 4, 5),
                            generator=generator)
        labels = F.interpolate(coarse, (height, width)).argmax(1)
        noise = torch.rand(labels.shape, generator=generator)
        other = torch.randint(num_classes, labels.shape, generator=generator)
        labels = torch.where(noise < 0.02, other, labels)
        void = torch.rand((num_images, 1, 5, 4), generator=generator)
        void = F.interpolate(void, (height, width))[:, 0] < ignored
        return labels.masked_fill(void, ignore_index)

    return make


def softmax(values):
    """Probabilities of a list of numbers."""
    largest = max(values)
    powers = [math.exp(value - largest) for value in values]
    return [power / sum(powers) for power in powers]


def divergence(values_s, values_t, tau):
    """KL divergence of the teacher's softmax from the student's."""
    prob_s = softmax([value / tau for value in values_s])
    prob_t = softmax([value / tau for value in values_t])
    return sum(t * (math.log(t) - math.log(s)) for s, t in zip(prob_s, prob_t))


def cells_of(valid, image, height, width):
    """Row and column of the valid cells of an image."""
    return [(y, x) for y in range(height) for x in range(width)
            if valid is None or bool(valid[image, 0, y, x])]


def kl_divergence(logits_s, logits_t, tau, valid=None):
    """Pixel-wise divergence, mean over valid cells, then images."""
    num_images, num_classes, height, width = logits_s.shape
    total = 0.0
    for b in range(num_images):
        cells = cells_of(valid, b, height, width)
        values = [
            divergence(logits_s[b, :, y, x].tolist(),
                       logits_t[b, :, y, x].tolist(), tau) for y, x in cells
        ]
        total += tau**2 * sum(values) / max(1, len(values))
    return total / num_images


def channel_wise_divergence(logits_s, logits_t, tau, valid=None):
    """Divergence over space, mean over channels and images."""
    num_images, num_classes, height, width = logits_s.shape
    total = 0.0
    for b in range(num_images):
        cells = cells_of(valid, b, height, width)
        for c in range(num_classes if cells else 0):
            values_s = [logits_s[b, c, y, x].item() for y, x in cells]
            values_t = [logits_t[b, c, y, x].item() for y, x in cells]
            total += divergence(values_s, values_t, tau)
    return tau**2 * total / (num_images * num_classes)


def edge_loss(logits_s, logits_t, masks, tau, alpha):
    """Edge part of BPKD by its sums."""
    num_images, num_classes, height, width = logits_s.shape
    cells = [(y, x) for y in range(height) for x in range(width)]
    total = 0.0
    for b in range(num_images):
        phi = {
            (y, x):
            tau**2 * divergence(
                (logits_s[b, :, y, x] * masks[b, :, y, x]).tolist(),
                (logits_t[b, :, y, x] * masks[b, :, y, x]).tolist(), tau)
            for y, x in cells
        }
        for c in range(num_classes):
            mask = {cell: masks[(b, c) + cell].item() for cell in cells}
            count = sum(value > 0 for value in mask.values())
            total += alpha[c] / max(1, count) * sum(phi[cell] * mask[cell]
                                                    for cell in cells)
    return total / num_images


def edge_masks(labels,
               num_classes,
               size,
               width,
               ignore_index=255,
               ignore_as_edge=False,
               threshold=0.5):
    """Masks by one-hot maps and max pooling at full resolution."""

    def pool(maps):
        return F.max_pool2d(maps, width, stride=1, padding=width // 2)

    labelled = (labels != ignore_index).double().unsqueeze(1)
    classes = torch.arange(num_classes).view(1, -1, 1, 1)
    same = (labels.unsqueeze(1) == classes).double() * labelled
    other = 1 - same
    if not ignore_as_edge:
        other = other * labelled
    dilated, eroded = pool(same), 1 - pool(other)
    edge = labelled * (dilated - eroded).clamp(min=0)
    valid = F.adaptive_avg_pool2d(labelled, size) >= threshold
    masks = F.adaptive_avg_pool2d(edge, size) * valid
    return masks.float(), valid
