"""Fusion and selection units."""
import pytest
import torch

from mmkd.methods.acam.modules import FeatureFusion, MaskLevel
from mmkd.methods.acam.options import ACAMOptions


def level(**options):
    torch.manual_seed(0)
    return MaskLevel(4, 8, 6, ACAMOptions(**options))


def inputs():
    torch.manual_seed(1)
    feat_s = torch.randn(2, 4, 5, 6, requires_grad=True)
    feat_t, aligned = torch.randn(2, 2, 8, 9, 7)
    return feat_s, feat_t, aligned


def test_fusion_by_its_formula():
    torch.manual_seed(0)
    fusion = FeatureFusion(8, 4, 8)
    feat_s, feat_t, _ = inputs()
    query, key, value = (conv(x).flatten(2)
                         for conv, x in ((fusion.query, feat_t),
                                         (fusion.key, feat_s), (fusion.value,
                                                                feat_s)))
    assert query.size(1) == key.size(1) == 4
    share = (query.transpose(1, 2) @ key / 4**.5).softmax(2)
    expected = (share @ value.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(
        fusion(feat_t, feat_s).flatten(2), expected, rtol=1e-4, atol=1e-5)
    assert all(conv.bias is None for conv in fusion.children())


def test_pooled_keys_are_means():
    fusion = FeatureFusion(8, 4, 8, max_kv=9)
    feat = torch.ones(1, 4, 5, 6)
    # 3x3 cells of 2x2; those at the border hold fewer, and are means too.
    assert fusion._pool(feat).equal(torch.ones(1, 4, 3, 3))
    assert fusion._pool(feat[..., :3, :3]).shape == (1, 4, 3, 3)


@pytest.mark.parametrize('query', ['teacher', 'student'])
def test_masks_lie_on_the_grid_of_the_teacher(query):
    masks = level(query=query)(*inputs())
    assert masks.spatial.shape == (2, 6, 9, 7)
    assert masks.channel.shape == (2, 6, 8)
    assert all(((x > 0) & (x < 1)).all() for x in masks)


def test_kinds_that_are_switched_off():
    one = level(use_channel=False)
    assert one.channel_units is None and one(*inputs()).channel is None
    other = level(use_spatial=False)
    assert other.spatial_units is None and other(*inputs()).spatial is None


@pytest.mark.parametrize('detach', [True, False])
def test_gradient_of_the_masks(detach):
    feat_s, feat_t, aligned = inputs()
    part = level(detach_inputs=detach)
    part(feat_s, feat_t, aligned).spatial.square().sum().backward()
    assert (feat_s.grad is None) == detach
    assert part.spatial_units.grad.any() and part.fusion.key.weight.grad.any()


def test_masks_of_the_teacher_alone():
    feat_s, feat_t, aligned = inputs()
    part = level(mask_source='teacher_fixed')
    assert part.fusion is None
    assert not any(p.requires_grad for p in part.parameters())
    masks = part(feat_s, feat_t, aligned)
    assert masks.spatial.equal(part(feat_s + 1, feat_t, aligned).spatial)
