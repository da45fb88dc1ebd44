import pytest
import torch
from mmcv.ops import DeformConv2d

from mmkd.bev import DepthBins
from mmkd.core.network import build_network
from mmkd.errors import ConfigError
from mmkd.methods.monotakd.modules import (FeatureFusion, HeightCollapse,
                                           ResidualBranches, SelfCalibration,
                                           SpatialAlignment, _DeformConv)
from mmkd.testing import bev_batch, bev_detector

SMALL = dict(hidden_channels=4, dilations=(1, 2))


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_sizes_of_the_paper():
    # Those of the release, without BN of the pooled branch and with a BN
    # for each convolution.
    assert count(SpatialAlignment()) == 1_004_800
    assert count(FeatureFusion()) == 476_672
    assert count(HeightCollapse(640, 128)) == 640 * 128 + 256
    assert count(SelfCalibration(128)) == 4 * 181_504
    assert count(SpatialAlignment(pooled_norm=True)) == 1_004_928
    assert count(FeatureFusion(shared_norm=True)) == 476_416
    # With an alignment of its own.
    assert count(HeightCollapse(640, 128, {})) == 640 * 128 + 256 + 1_004_800


def test_self_calibration():
    torch.manual_seed(0)
    module = SelfCalibration(6, 2)
    # Sides that four does not divide.
    x = torch.randn(2, 6, 7, 9, requires_grad=True)
    out = module(x)
    assert out.shape == x.shape and (out >= 0).all()
    out.sum().backward()
    assert x.grad.isfinite().all() and x.grad.abs().sum() > 0
    assert all(p.grad is not None for p in module.parameters())
    # Residual: without what the blocks add, they are a ReLU.
    for block in module.eval():
        torch.nn.init.zeros_(block.merge.bn.weight)
    assert module(x).equal(x.relu())
    plain = ResidualBranches(12, 6, SMALL)
    branches = ResidualBranches(12, 6, SMALL, dict(num_blocks=1))
    assert count(branches) - count(plain) == count(SelfCalibration(6, 1))
    assert branches(torch.randn(2, 12, 6, 5)).shape == (2, 6, 6, 5)
    assert {
        key.split('.')[1]
        for key in branches.state_dict() if key.startswith('visual.')
    } == {'0', '1'}


@pytest.mark.parametrize('training', [True, False])
def test_alignment(training):
    torch.manual_seed(0)
    module = SpatialAlignment(8, **SMALL).train(training)
    assert module(torch.zeros(2, 8, 6, 5)).abs().max() == 0
    # One sample can be trained on.
    x = torch.randn(1, 8, 6, 5, requires_grad=True)
    out = module(x)
    assert out.shape == x.shape and (out >= 0).all()
    out.sum().backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())
    assert x.grad.abs().sum() > 0
    signed = SpatialAlignment(8, last_relu=False, **SMALL)
    assert (signed(torch.randn(2, 8, 6, 5)) < 0).any()


def test_released_modules():
    torch.manual_seed(0)
    branches = ResidualBranches(
        12, 6, dict(SMALL, pooled_norm=True), fusion=dict(shared_norm=True))
    first, _, last = branches.fusion.convs
    assert first.norm is last.norm
    branches(torch.randn(2, 12, 6, 5)).sum().backward()
    assert all(p.grad is not None for p in branches.parameters())
    # The statistics of the shared BN change twice in a step.
    assert first.norm.num_batches_tracked == 2
    again = ResidualBranches(
        12, 6, dict(SMALL, pooled_norm=True), fusion=dict(shared_norm=True))
    again.load_state_dict(branches.state_dict())
    assert again.fusion.convs[0].norm is again.fusion.convs[2].norm
    with pytest.raises(ValueError, match='more than 1 value'):
        branches(torch.randn(1, 12, 6, 5))


def test_alignment_in_float64():
    torch.manual_seed(0)
    module = SpatialAlignment(4, **SMALL).eval()
    x = torch.randn(2, 4, 5, 7)
    found = module(x)
    exact = module.double()(x.double())
    assert exact.dtype == torch.float64
    assert torch.allclose(found.double(), exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('shape', [(2, 4, 5, 7), (1, 3, 4, 1)])
def test_deformable_convolution_on_a_cpu(shape):
    """As MMCV's operator, values and gradients, also beyond the borders."""
    ours = _DeformConv(shape[1], shape[1], 3, padding=1)
    theirs = DeformConv2d(shape[1], shape[1], 3, padding=1)
    theirs.load_state_dict(ours.state_dict())
    torch.manual_seed(0)
    x = torch.randn(shape)
    offset = 3 * torch.randn(shape[0], 18, *shape[2:])
    found = []
    for module in (ours, theirs):
        inputs = [x.clone().requires_grad_(), offset.clone().requires_grad_()]
        out = module(*inputs)
        gradients = torch.autograd.grad(out.sin().sum(),
                                        [*inputs, module.weight])
        found.append([out, *gradients])
    for mine, wanted in zip(*found):
        assert torch.allclose(mine, wanted, rtol=1e-4, atol=1e-5)


def detector(**kwargs):
    torch.manual_seed(0)
    return build_network(bev_detector(**kwargs), 'the detector')


def branched(**kwargs):
    return detector(
        img_bev_encoder=dict(
            type='mmkd.ResidualBranches',
            in_channels=8,
            out_channels=8,
            alignment=SMALL),
        **kwargs)


def test_both_branches_take_part():
    network = branched().eval()
    batch = network.data_preprocessor(bev_batch(points=()), False)
    before = network(**batch, mode='tensor')[0][0]['heatmap']
    for branch in ('visual', 'spatial'):
        other = branched().eval()
        other.load_state_dict(network.state_dict())
        bias = getattr(other.img_bev_encoder, branch).conv.bn.bias
        with torch.no_grad():
            bias.add_(.5)
        after = other(**batch, mode='tensor')[0][0]['heatmap']
        assert not after.allclose(before)
    network.train()
    sum(network(**batch, mode='loss').values()).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_true_depth():
    guessing = detector().eval()
    told = detector(depth_source='points').eval()
    batch = told.data_preprocessor(bev_batch(), False)
    metas = [sample.metainfo for sample in batch['data_samples']]
    found = told.extract_bev(batch['inputs'], metas)['low']
    assert not found.equal(guessing.extract_bev(batch['inputs'], metas)['low'])
    # The lift gets a certain distribution where a point is seen.
    seen = []
    told.view_transform.register_forward_pre_hook(
        lambda module, args: seen.append(args[2]))
    told.extract_bev(batch['inputs'], metas)
    total = seen[0].sum(1)
    assert set(total.unique().tolist()) == {0., 1.}
    # The same volumes for the same distribution and weights.
    again = guessing.view_transform
    guessing.view_transform.forward = lambda feat, geometry, depth: type(
        again).forward(again, feat, geometry, seen[0])
    assert guessing.extract_bev(batch['inputs'], metas)['low'].equal(found)
    # Completed, more pixels have one.
    filled = detector(depth_source='points', depth_completion='dilate').eval()
    filled.view_transform.register_forward_pre_hook(
        lambda module, args: seen.append(args[2]))
    filled.extract_bev(batch['inputs'], metas)
    assert seen[-1].sum() > total.sum()
    # No point anywhere: nothing is lifted.
    empty = told.data_preprocessor(bev_batch(points=[0, 0]), False)
    assert told.extract_bev(empty['inputs'], metas)['low'].abs().max() == 0
    with pytest.raises(ConfigError, match="depth_source='points' needs"):
        told(
            **told.data_preprocessor(bev_batch(points=()), False),
            mode='predict')


def test_wrong_arguments():
    for kwargs, match in ((dict(depth_source='truth'), 'depth_source'),
                          (dict(depth_pooling='max'), 'depth_pooling'),
                          (dict(depth_source='points',
                                depth_completion='ip'), "None or 'dilate'"),
                          (dict(depth_completion='dilate'),
                           "needs depth_source='points'"), (dict(
                               camera=False, lidar=True,
                               depth_source='points'), 'need a camera')):
        with pytest.raises(ConfigError, match=match):
            detector(**kwargs)


def test_bins_of_the_paper():
    bins = DepthBins(2., 46.8, 120, 'LID')
    depth = torch.tensor(
        [2., 2.0062, 2.02, 10, 46.79, 0, 1.99, 46.8, 80, torch.nan])
    assert bins.index(depth).tolist() == [0, 1, 2, 50, 119] + 5 * [120]
    assert bins.one_hot(
        depth[None, None])[0, :, 0].sum(0).tolist() == (5 * [1.] + 5 * [0.])


def test_registered_by_name():
    from mmkd.registry import MODELS
    assert MODELS.get('mmkd.ResidualBranches') is ResidualBranches
