import pytest
import torch
from torch.autograd import gradcheck

from mmkd.methods.cirkd import losses
from mmkd.methods.cirkd.losses import (batch_loss, memory_loss,
                                       similarity_divergence)
from mmkd.ops.vectors import unit

S = torch.tensor([[1., 0, 1], [0, 1, 1]], dtype=torch.double)
T = torch.tensor([[2., 1, 0], [0, 1, 1], [0, 0, 1]], dtype=torch.double)


def one_image():
    return S.view(1, 2, 1, 3), T.view(1, 3, 1, 3)


def two_images():
    feat_s = torch.tensor([[[1., 0], [0, 1]], [[1, 1], [2, 1]]]).double()
    feat_t = torch.tensor([[[1., 1], [0, 1]], [[0, 2], [1, 0]]]).double()
    return feat_s[:, :, None], feat_t[:, :, None]


@pytest.mark.parametrize('maps, tau, value', [
    (one_image(), 0.1, 0.258710532),
    (one_image(), 1.0, 0.075976200),
    (two_images(), 0.1, 0.313662797),
])
def test_pixels_of_the_batch(maps, tau, value):
    loss, cells = batch_loss(*maps, tau)
    assert loss.item() == pytest.approx(value, abs=1e-9)
    assert cells.shape == (len(maps[0]), *maps[0].shape[2:])
    assert cells.mean().item() == pytest.approx(value)


def memory():
    keys, embed_s, embed_t = (
        unit(torch.tensor(x).double())
        for x in ([[1., 0], [3, 4], [0, 1], [-1, 1]], [[1., 1], [2, 0]],
                  [[0., 1], [1, 2]]))
    return embed_s, embed_t, keys


def test_memory():
    embed_s, embed_t, keys = memory()
    both = torch.ones(2, dtype=torch.bool)
    found = memory_loss(embed_s, embed_t, keys, both)
    assert found.item() == pytest.approx(3.762422621, abs=1e-9)
    # An ignored cell counts nothing, whatever it holds.
    embed_s, embed_t = (
        torch.cat([x, torch.full_like(x[:1], 9.)]) for x in (embed_s, embed_t))
    assert memory_loss(embed_s, embed_t, keys, torch.arange(3) < 2) == found


def test_no_labelled_cell():
    embed_s, embed_t, keys = memory()
    embed_s.requires_grad_()
    loss = memory_loss(embed_s, embed_t, keys, torch.zeros(2).bool())
    loss.backward()
    assert loss == 0 and not embed_s.grad.any()


def test_equal_similarities_are_no_loss():
    torch.manual_seed(0)
    feat = torch.randn(2, 4, 3, 3).double()
    turned = torch.einsum('dc,nchw->ndhw',
                          torch.linalg.qr(torch.randn(4, 4).double())[0], feat)
    scaled = turned * (torch.rand(2, 1, 3, 3) + 0.5)
    assert batch_loss(feat, feat)[0] == 0
    assert batch_loss(feat, scaled)[1].abs().max() < 1e-12
    assert (batch_loss(feat, torch.randn_like(feat))[1] > 0.1).all()


@pytest.mark.parametrize('chunk', [1, 17])
def test_chunks_change_nothing(monkeypatch, chunk):
    torch.manual_seed(0)
    feat_s, feat_t = (torch.randn(2, n, 2, 3).double() for n in (3, 4))
    found = []
    for size in (1 << 24, chunk):
        monkeypatch.setattr(losses, '_CHUNK', size)
        leaf = feat_s.clone().requires_grad_()
        loss, cells = batch_loss(leaf, feat_t)
        loss.square().backward()
        found.append((cells, leaf.grad))
    torch.testing.assert_close(*found)


def test_excluded_cells_are_in_no_softmax():
    torch.manual_seed(0)
    feat_s, feat_t = torch.randn(1, 3, 2, 3), torch.randn(1, 4, 2, 3)
    valid = (torch.arange(6) < 3).view(1, 1, 2, 3)
    loss, cells = batch_loss(feat_s, feat_t, valid=valid)
    alone = batch_loss(feat_s[:, :, :1], feat_t[:, :, :1])
    torch.testing.assert_close((loss, cells[:, :1]), alone)
    assert batch_loss(feat_s, feat_t, valid=valid & False)[0] == 0


def test_zero_vectors():
    feat = torch.zeros(1, 2, 2, 2, requires_grad=True)
    loss, _ = batch_loss(feat, torch.rand(1, 3, 2, 2))
    loss.backward()
    assert loss > 0 and not feat.grad.any()


def test_numerical_gradient():
    torch.manual_seed(0)
    rows, keys = torch.randn(3, 2).double(), torch.randn(2, 4, 2).double()
    teacher = torch.randn(3, 3).double(), torch.randn(2, 4, 3).double()
    weights = torch.rand(3).double()
    assert gradcheck(
        lambda r, k: similarity_divergence(r, teacher[0], k, teacher[1],
                                           weights, 0.5)[0],
        (rows.requires_grad_(), keys.requires_grad_()))
