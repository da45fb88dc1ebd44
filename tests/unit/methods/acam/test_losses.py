import math

import pytest
import torch

from mmkd.methods.acam.losses import (channel_mask_loss, channel_masks,
                                      mask_diversity, mask_statistics,
                                      spatial_mask_loss, spatial_masks)

REDUCTIONS = ('pairwise_mean', 'ratio')


def features(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(2)]


# ------------------------------------------------------------------- masks


def test_masks_by_hand():
    feat = torch.tensor([[[[1., 2.]], [[-1., 0.]]]])
    spatial = spatial_masks(feat, torch.tensor([[1., 2.], [0., 0.]]))
    assert spatial.shape == (1, 2, 1, 2)
    assert spatial[0, 0, 0].tolist() == pytest.approx(
        [1 / (1 + math.exp(1)), 1 / (1 + math.exp(-2))])
    assert (spatial[0, 1] == 0.5).all()
    # The means over the cells are 1.5 and -0.5.
    shared = channel_masks(feat, torch.tensor([[2.]]))
    assert shared[0, 0].tolist() == pytest.approx(
        [1 / (1 + math.exp(-3)), 1 / (1 + math.exp(1))])
    full = channel_masks(feat, torch.tensor([[2., 0.]]))
    assert full[0, 0].tolist() == pytest.approx([1 / (1 + math.exp(-3)), 0.5])


def test_standardised_masks():
    feat = torch.randn(2, 4, 3, 5)
    units = torch.randn(3, 4)
    moved = 7 * feat + torch.randn(2, 4, 1, 1)
    assert torch.allclose(
        spatial_masks(feat, units, True),
        spatial_masks(moved, units, True),
        atol=1e-5)
    pooled = torch.logit(channel_masks(feat, torch.ones(1, 1), True))[:, 0]
    assert torch.allclose(pooled.mean(1), torch.zeros(2), atol=1e-5)
    assert torch.allclose(pooled.square().mean(1), torch.ones(2), atol=1e-4)
    # Nothing varies, nothing is divided by zero.
    flat = torch.ones(1, 4, 1, 1, requires_grad=True)
    for masks in (spatial_masks(flat, units,
                                True), channel_masks(flat, units, True)):
        assert (masks == 0.5).all()
        assert torch.autograd.grad(masks.sum(), flat)[0].isfinite().all()


# -------------------------------------------------------------------- losses


def test_losses_by_hand():
    # D is [[1, 2], [3, 0]], channels times cells.
    feat_t = torch.tensor([[[[1., 2.]], [[3., 0.]]]])
    feat_s = torch.zeros_like(feat_t)
    masks = torch.tensor([[1., 0.], [0.5, 0.5]])
    # Cells have the energies 10 and 4: (10 / 2 + 3.5 / 2) / 2.
    spatial = spatial_mask_loss(feat_s, feat_t, masks.view(1, 2, 1, 2))
    assert spatial.item() == pytest.approx(3.375, rel=1e-5)
    # Channels have the energies 5 and 9: (5 / 2 + 3.5 / 2) / 2.
    channel = channel_mask_loss(feat_s, feat_t, masks.view(1, 2, 2))
    assert channel.item() == pytest.approx(2.125, rel=1e-5)


@pytest.mark.parametrize('constant', [0.5, 0.1, 1.0])
def test_constant_masks(constant):
    feat_s, feat_t = features(2, 5, 4, 3)
    mean = constant * (feat_t - feat_s).square().mean()
    for loss in (spatial_mask_loss(feat_s, feat_t,
                                   torch.full((2, 6, 4, 3), constant)),
                 channel_mask_loss(feat_s, feat_t,
                                   torch.full((2, 6, 5), constant))):
        assert loss.item() == pytest.approx(mean.item(), rel=1e-5)


def test_naive_form():
    feat_s, feat_t = features(2, 5, 4, 3)
    spatial, channel = torch.rand(2, 6, 4, 3), torch.rand(2, 6, 5)
    distance = (feat_t - feat_s).unsqueeze(1)
    naive = (spatial.unsqueeze(2) * distance).square().sum((2, 3, 4))
    naive = (naive / (5 * spatial.sum((2, 3)) + 1e-6)).mean()
    assert torch.allclose(
        spatial_mask_loss(feat_s, feat_t, spatial), naive, rtol=1e-5)
    naive = (channel[..., None, None] * distance).square().sum((2, 3, 4))
    naive = (naive / (12 * channel.sum(2) + 1e-6)).mean()
    assert torch.allclose(
        channel_mask_loss(feat_s, feat_t, channel), naive, rtol=1e-5)


def cases(num_images=2):
    return ((spatial_mask_loss, torch.rand(num_images, 6, 4,
                                           3)), (channel_mask_loss,
                                                 torch.rand(num_images, 6, 5)))


def test_equal_maps():
    for loss, masks in cases():
        feat_s = torch.randn(2, 5, 4, 3, requires_grad=True)
        masks.requires_grad_()
        found = loss(feat_s, feat_s.detach().clone(), masks)
        found.backward()
        assert found.item() == 0
        assert (feat_s.grad == 0).all() and (masks.grad == 0).all()


def test_gradients_are_those_of_finite_differences():
    feat_s, feat_t = (
        feat.double().requires_grad_() for feat in features(2, 3, 2, 2))
    for loss, shape in ((spatial_mask_loss, (2, 2, 2, 2)), (channel_mask_loss,
                                                            (2, 2, 3))):
        masks = torch.rand(shape, dtype=torch.double).requires_grad_()
        assert torch.autograd.gradcheck(lambda s, m: loss(s, feat_t, m),
                                        (feat_s, masks))
        assert not torch.autograd.grad(
            loss(feat_s, feat_t, masks), feat_t, allow_unused=True)[0]


def test_scale_batch_and_order_of_units():
    feat_s, feat_t = features(2, 5, 4, 3)
    for loss, masks in cases():
        whole = loss(feat_s, feat_t, masks)
        single = [
            loss(*(x[i:i + 1] for x in (feat_s, feat_t, masks)))
            for i in range(2)
        ]
        assert torch.allclose(whole, sum(single) / 2)
        assert torch.allclose(
            loss(3 * feat_s, 3 * feat_t, masks), 9 * whole, rtol=1e-5)
        order = torch.randperm(6)
        assert torch.allclose(loss(feat_s, feat_t, masks[:, order]), whole)


def test_empty_masks():
    feat_s, feat_t = features(1, 5, 4, 3)
    for loss, masks in cases(1):
        masks = torch.zeros_like(masks).requires_grad_()
        found = loss(feat_s, feat_t, masks)
        found.backward()
        assert found.item() == 0 and masks.grad.isfinite().all()


def test_other_shapes_are_refused():
    for loss, masks in cases():
        with pytest.raises(ValueError, match='one shape'):
            loss(torch.ones(2, 5, 4, 3), torch.ones(2, 5, 4, 4), masks)


# ----------------------------------------------------------------- diversity


def test_dice_by_hand():
    # Pairs: 2 * 1 / (1 + 2), 0 and 2 * 1 / (2 + 1).
    masks = torch.tensor([[[1., 0., 0.], [1., 1., 0.], [0., 1., 0.]]])
    assert mask_diversity(masks).item() == pytest.approx(4 / 9)
    # Products of ordered pairs: 4; squares: 4.
    assert mask_diversity(masks, 'ratio').item() == pytest.approx(4 / 4)


@pytest.mark.parametrize('reduction, identical', zip(REDUCTIONS, (1, 5)))
def test_identical_and_disjoint(reduction, identical):
    same = torch.rand(2, 1, 4, 3).expand(2, 6, 4, 3)
    assert mask_diversity(same, reduction).item() == pytest.approx(identical)
    apart = torch.eye(6).expand(2, 6, 6)
    assert mask_diversity(apart, reduction).item() == 0


@pytest.mark.parametrize('reduction', REDUCTIONS)
def test_diversity_of_batches_and_orders(reduction):
    masks = torch.rand(2, 6, 4, 3)
    whole = mask_diversity(masks, reduction)
    parts = [mask_diversity(masks[i:i + 1], reduction) for i in range(2)]
    assert torch.allclose(whole, sum(parts) / 2)
    assert torch.allclose(
        mask_diversity(masks[:, torch.randperm(6)], reduction), whole)


@pytest.mark.parametrize('reduction', REDUCTIONS)
def test_one_mask_and_empty_masks(reduction):
    for masks in (torch.rand(2, 1, 4), torch.zeros(2, 3, 4)):
        masks.requires_grad_()
        found = mask_diversity(masks, reduction)
        found.backward()
        assert found.item() == 0
        assert masks.grad.isfinite().all()


def test_unknown_reduction():
    with pytest.raises(ValueError, match='ratio'):
        mask_diversity(torch.rand(1, 2, 3), 'sum')


# ---------------------------------------------------------------- the others


def test_statistics():
    masks = torch.tensor([[[0., 0.], [1., 1.], [0., 1.], [0.5, 0.5]]])
    found = mask_statistics(masks)
    assert found['mean'].item() == 0.5
    assert found['std'].item() == pytest.approx(0.125)
    assert found['dead'].item() == 0.5
    assert mask_statistics(torch.ones(1, 2, 1))['std'].item() == 0


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_mixed_precision(dtype):
    # The normaliser, about 600,000, is beyond float16.
    feat_s, feat_t = (10 * feat.to(dtype) for feat in features(1, 128, 96, 96))
    feat_s.requires_grad_()
    with torch.autocast('cpu', dtype):
        spatial = spatial_masks(feat_t, 0.1 * torch.randn(4, 128))
        channel = channel_masks(feat_t, torch.randn(4, 1))
        losses = [
            spatial_mask_loss(feat_s, feat_t, spatial),
            channel_mask_loss(feat_s, feat_t, channel),
            mask_diversity(spatial),
        ]
    exact = [
        spatial_mask_loss(feat_s.float(), feat_t.float(), spatial),
        channel_mask_loss(feat_s.float(), feat_t.float(), channel),
        mask_diversity(spatial),
    ]
    for loss, expected in zip(losses, exact):
        assert loss.dtype == torch.float32 and loss.isfinite()
        assert torch.allclose(loss, expected)
    sum(losses).backward()
    assert feat_s.grad.dtype == dtype and feat_s.grad.isfinite().all()
