import math

import pytest
import torch
from torch.autograd import gradcheck

from mmkd.methods.af_dcd import losses
from mmkd.methods.af_dcd.losses import contrast_loss, patch_vectors
from mmkd.ops.distances import squared_distance

P, Q = (
    torch.tensor(x, dtype=torch.double).view(1, 4, 1, 2)
    for x in ([[0., .1], [.2, .3], [.5, .1], [.4, .2]],
              [[.1, .1], [.2, .2], [.4, .2], [.4, .1]]))


@pytest.mark.parametrize('groups, value', [(2, 1.852774422), (4, 5.836802301)])
def test_by_hand(groups, value):
    found = contrast_loss(P, Q, groups, (1, 2))
    assert found.item() == pytest.approx(value, abs=1e-9)
    # A patch larger than the map is the map.
    assert contrast_loss(P, Q, groups, (4, 4)).item() == pytest.approx(
        value, abs=1e-9)
    assert squared_distance(P, Q).item() == pytest.approx(0.05)


def in_python(feat_s, feat_t, groups, side, tau):
    """The formula, number by number."""
    images, channels, height, width = feat_s.shape
    size, total = channels // groups, 0.
    for n in range(images):
        for y in range(0, height, side):
            for x in range(0, width, side):
                cells = [(i, j) for i in range(y, y + side)
                         for j in range(x, x + side)]
                for g in range(groups):
                    for cell in cells:

                        def similarity(h, other):
                            own = feat_s[n, size * g:size * (g + 1), cell[0],
                                         cell[1]]
                            their = feat_t[n, size * h:size * (h + 1),
                                           other[0], other[1]]
                            return -(own - their).abs().sum().item() / tau

                        positive = similarity(g, cell)
                        total += math.log(1 + sum(
                            math.exp(similarity(h, other) - positive)
                            for h in range(groups) if h != g
                            for other in cells))
    return total / (images * height * width)


@pytest.mark.parametrize('chunk', [1, 1 << 26])
def test_formula(monkeypatch, chunk):
    monkeypatch.setattr(losses, '_CHUNK', chunk)
    torch.manual_seed(0)
    feat_s, feat_t = torch.rand(2, 2, 6, 4, 4).double().unbind()
    wanted = in_python(feat_s, feat_t, 3, 2, 0.5)
    assert contrast_loss(feat_s, feat_t, 3, (2, 2),
                         0.5).item() == pytest.approx(wanted)


def test_patches():
    feat = torch.arange(2 * 5 * 4).view(1, 2, 5, 4)
    vectors = patch_vectors(feat, 2, (2, 2))
    # Four whole patches; the fifth row is left out.
    assert vectors.shape == (4, 8, 1)
    assert vectors[1, :, 0].tolist() == [2, 3, 6, 7, 22, 23, 26, 27]
    assert patch_vectors(feat, 1, (2, 2))[0, 0].tolist() == [0, 20]


def test_equal_maps_are_a_loss():
    """Minus the log of the positive's share."""
    found = contrast_loss(P, P, 2, (1, 1), 1.)
    # Groups (0, .2), (.5, .4) and (.1, .3), (.1, .2).
    shares = [1 / (1 + math.exp(-d)) for d in (.7, .7, .1, .1)]
    assert found.item() == pytest.approx(
        -sum(map(math.log, shares)) / 2, rel=1e-6)


def test_gradients():
    torch.manual_seed(0)
    feat_s, feat_t = torch.rand(2, 1, 4, 2, 2).double().unbind()
    feat_t.requires_grad_()
    assert gradcheck(
        lambda x: contrast_loss(x, feat_t.detach(), 2, (2, 2), 0.5),
        feat_s.requires_grad_())
    contrast_loss(feat_s, feat_t, 2).backward()
    assert feat_t.grad is None
