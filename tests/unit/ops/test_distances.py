import pytest
import torch

from mmkd.ops.distances import squared_distance


def test_squared_distance_by_hand():
    feat_s, feat_t = torch.zeros(2, 1, 1, 2), torch.zeros(2, 1, 1, 2)
    feat_t[0, 0, 0] = torch.tensor([1., 3.])
    feat_t[1, 0, 0, 0] = 2
    assert squared_distance(feat_s, feat_t) == (1 + 9 + 4) / 2
    assert squared_distance(feat_s, feat_t, 'mean') == (1 + 9 + 4) / 4


def test_squared_distance_of_half_precision():
    # The sum over 16,384 cells of 3^2 is more than float16 can hold.
    feat_s = torch.zeros(1, 1, 128, 128, dtype=torch.float16)
    with torch.autocast('cpu', torch.bfloat16):
        loss = squared_distance(feat_s.requires_grad_(), feat_s.detach() + 3)
    loss.backward()
    assert loss.dtype == torch.float32 and loss == 9 * 128**2
    assert feat_s.grad.isfinite().all()


def test_squared_distance_of_wrong_arguments():
    feat = torch.zeros(1, 2, 3, 4)
    with pytest.raises(ValueError, match='one shape'):
        squared_distance(feat, feat[..., :2])
    with pytest.raises(ValueError, match='reduction'):
        squared_distance(feat, feat, 'sum')
