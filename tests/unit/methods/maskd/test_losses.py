import pytest
import torch

from mmkd.methods.maskd.losses import masked_distance, token_masks
from mmkd.ops.masks import dice_similarity

F64 = torch.float64
TOKENS = torch.tensor([[1., 0.], [0., 2.]], dtype=F64)
TEACHER = torch.tensor([[1., 0.], [-1., 1.]], dtype=F64)[None, :, None]
STUDENT = torch.tensor([[0., 1.], [1., 1.]], dtype=F64)[None, :, None]
WEIGHTS = torch.tensor([[.25, .75]], dtype=F64)


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=F64)


def test_golden_values():
    masks = token_masks(TEACHER, TOKENS)
    torch.testing.assert_close(
        masks[0, :, 0],
        torch.tensor([[.731058579, .5], [.119202922, .880797078]], dtype=F64))
    joint = masks * token_masks(STUDENT, TOKENS)
    wanted = {
        .670125673: dice_similarity(masks),
        .805151653: masked_distance(STUDENT, TEACHER, masks),
        .614288371: masked_distance(STUDENT, TEACHER, masks, WEIGHTS),
        .460622757: masked_distance(STUDENT, TEACHER, joint),
        # Segmentation: the default weight of the term.
        .402575827: .5 * masked_distance(STUDENT, TEACHER, masks)
    }
    for value, found in wanted.items():
        assert found.item() == pytest.approx(value, abs=1e-9)


def test_against_loops():
    feat_s, feat_t = random(2, 3, 4, 5), random(2, 3, 4, 5, seed=1)
    masks, weights = random(2, 4, 4, 5, seed=2), random(2, 4, seed=3)
    distance, dice = 0., 0.
    for n in range(2):
        for k in range(4):
            gap = sum(((masks[n, k] * (feat_s[n, c] - feat_t[n, c]))**2).sum()
                      for c in range(3)) / 3
            distance += weights[n, k] * gap / masks[n, k].sum() / 2
            for j in range(4):
                if j != k:
                    a, b = masks[n, k], masks[n, j]
                    dice += 2 * (a * b).sum() / ((a**2).sum() +
                                                 (b**2).sum()) / 2 / 12
    torch.testing.assert_close(
        masked_distance(feat_s, feat_t, masks, weights), distance)
    torch.testing.assert_close(dice_similarity(masks), dice)


def test_invariants():
    feat_s, feat_t = random(2, 3, 4, 5), random(2, 3, 4, 5, seed=1)
    masks = random(2, 4, 4, 5, seed=2)
    loss = masked_distance(feat_s, feat_t, masks)
    assert masked_distance(feat_t, feat_t, masks) == 0
    mse = (feat_s - feat_t).square().mean()
    torch.testing.assert_close(
        masked_distance(feat_s, feat_t, torch.ones_like(masks)), mse)
    torch.testing.assert_close(
        masked_distance(feat_s, feat_t, masks,
                        torch.full((2, 4), .25, dtype=F64)), loss)
    torch.testing.assert_close(
        masked_distance(feat_s, feat_t, 3 * masks), 3 * loss)
    fresh = token_masks(feat_t, .01 * random(4, 3, seed=4))
    torch.testing.assert_close(
        masked_distance(feat_s, feat_t, fresh), mse / 2, rtol=.02, atol=0)


def test_masks_that_underflow():
    feat_s, feat_t = torch.ones(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    feat_s.requires_grad_()
    masks = torch.zeros(1, 3, 2, 2)
    loss = masked_distance(feat_s, feat_t, masks)
    loss.backward()
    assert loss == 0 and feat_s.grad.eq(0).all()


def test_half_precision():
    """Sums over a large map exceed float16, and it rounds sigmoids."""
    feat = random(1, 4, 200, 300).half()
    tokens = random(6, 4).float()
    with torch.autocast('cpu', torch.bfloat16):
        masks = token_masks(feat, tokens)
        loss = masked_distance(feat + 1, feat, masks)
        dice = dice_similarity(masks)
    assert masks.dtype == loss.dtype == dice.dtype == torch.float32
    assert loss.isfinite() and 0 < dice <= 1


def test_gradients():
    feat_s = random(2, 3, 2, 2).requires_grad_()
    tokens = random(3, 3, seed=2).requires_grad_()
    feat_t = random(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(
        lambda x, e: masked_distance(x, feat_t, token_masks(feat_t, e)) +
        dice_similarity(token_masks(feat_t, e)), (feat_s, tokens))
