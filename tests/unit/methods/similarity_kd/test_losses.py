import pytest
import torch

from mmkd.methods.similarity_kd.losses import cell_loss, queue_loss


def test_queue_by_hand():
    embed_s, embed_t = torch.tensor([[.6, .8]]), torch.tensor([[2., 0]])
    queue = torch.eye(2)
    assert queue_loss(embed_s, embed_t, queue).item() == pytest.approx(
        2.912975, rel=1e-5)
    assert queue_loss(embed_t, embed_t, queue).item() == pytest.approx(
        0, abs=1e-6)
    # Rows that are not filled yet count nothing.
    part = torch.cat([queue, torch.zeros(2, 2)])
    assert queue_loss(embed_s, embed_t, part).item() == pytest.approx(
        2.912975, rel=1e-5)
    # Unless they shall, as in LightlyTrain.
    assert queue_loss(
        embed_s, embed_t, part, keep_empty=True).item() == pytest.approx(
            2.912988, abs=1e-6)


def test_cells_by_hand():

    def feat(*cells):
        return torch.tensor(cells).T.reshape(1, 2, 1, 3)

    feat_t = feat((1., 0), (0, 1), (1, 1))
    feat_s = feat((1., 0), (1, 1), (0, 1))
    assert cell_loss(feat_s, feat_t).item() == pytest.approx(
        0.100304, rel=1e-4)
    assert cell_loss(5 * feat_t, feat_t).item() == pytest.approx(0, abs=1e-6)


def test_zero_vectors():
    feat_s = torch.zeros(1, 2, 2, 2, requires_grad=True)
    loss = cell_loss(feat_s, torch.rand(1, 3, 2, 2))
    loss.backward()
    assert loss.isfinite() and not feat_s.grad.any()
