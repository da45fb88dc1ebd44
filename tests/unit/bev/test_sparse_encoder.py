"""Sparse convolutions on a CPU, against dense ones."""
import pytest
import torch
import torch.nn.functional as F
from mmdet3d.models.middle_encoders import SparseEncoder as MMDetSparseEncoder
from torch import nn

from mmkd.bev.sparse_encoder import SparseEncoder
from mmkd.core.network import build_network
from mmkd.testing.lidar import lidar_batch, second

SHAPE = (9, 12, 10)


def encoder(block_type='conv_module', **kwargs):
    torch.manual_seed(0)
    made = SparseEncoder(
        in_channels=3,
        sparse_shape=list(SHAPE),
        base_channels=4,
        output_channels=5,
        encoder_channels=((4, 6), (6, 6)),
        encoder_paddings=((0, 1), (1, 1)) if block_type == 'basicblock' else
        ((1, 1), (1, [0, 1, 1])),
        block_type=block_type,
        **kwargs)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_mean, -.2, .2)
            nn.init.uniform_(module.running_var, .5, 2)
            nn.init.uniform_(module.bias, -.5, .5)
    return made


def scan(num=90, samples=2, seed=0):
    """Features and cells (b, z, y, x) of some voxels, none twice."""
    generator = torch.Generator().manual_seed(seed)
    depth, height, width = SHAPE
    cells = torch.randperm(
        samples * depth * height * width, generator=generator)[:num]
    coors = torch.stack([
        cells // (depth * height * width), cells //
        (height * width) % depth, cells // width % height, cells % width
    ], 1).int()
    return torch.randn((num, 3), generator=generator), coors


def dense_reference(made, features, coors, samples):
    """The same layers as dense convolutions that know active cells."""
    b, z, y, x = coors.long().unbind(1)
    grid = torch.zeros(samples, *SHAPE, 3).index_put((b, z, y, x), features)
    grid = grid.permute(0, 4, 1, 2, 3)
    active = torch.zeros(samples, 1, *SHAPE)
    active[b, 0, z, y, x] = 1

    def norm(module, grid, active):
        shape = (1, -1, 1, 1, 1)
        scale = module.weight / (module.running_var + module.eps).sqrt()
        shift = module.bias - module.running_mean * scale
        return (grid * scale.view(shape) + shift.view(shape)) * active

    def conv(module, grid, active):
        weight = module.weight.permute(4, 3, 0, 1, 2)
        if module.subm:
            padding = [k // 2 for k in module.kernel_size]
            return F.conv3d(grid, weight, padding=padding) * active, active
        kwargs = dict(stride=module.stride, padding=module.padding)
        reached = F.conv3d(active, torch.ones(1, 1, *module.kernel_size),
                           **kwargs) > 0
        return F.conv3d(grid, weight, **kwargs), reached.float()

    def run(module, grid, active):
        if hasattr(module, 'subm'):
            return conv(module, grid, active)
        if isinstance(module, nn.BatchNorm1d):
            return norm(module, grid, active), active
        if isinstance(module, nn.ReLU):
            return grid.relu(), active
        if hasattr(module, 'conv1'):
            out, _ = conv(module.conv1, grid, active)
            out = norm(module.norm1, out, active).relu()
            out, _ = conv(module.conv2, out, active)
            return (norm(module.norm2, out, active) + grid).relu(), active
        for child in module.children():
            grid, active = run(child, grid, active)
        return grid, active

    for module in (made.conv_input, made.encoder_layers, made.conv_out):
        grid, active = run(module, grid, active)
    return grid.flatten(1, 2)


@pytest.mark.parametrize('block_type', ['conv_module', 'basicblock'])
def test_against_dense_convolutions(block_type):
    made = encoder(block_type).eval()
    features, coors = scan()
    features.requires_grad_()
    found = made(features, coors, torch.tensor(2))
    expected = dense_reference(made, features, coors, 2)
    assert found.shape == expected.shape and found.any()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    goal = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    wanted = [features, *made.parameters()]
    for one, two in zip(
            torch.autograd.grad((found * goal).sum(), wanted),
            torch.autograd.grad((expected * goal).sum(), wanted)):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


def test_order_of_the_voxels():
    made = encoder().eval()
    features, coors = scan()
    order = torch.randperm(90, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        made(features, coors, 2), made(features[order], coors[order], 2))


def test_no_voxels_and_stages():
    made = encoder(return_middle_feats=True).train()
    features, coors = scan()
    maps, middle = made(features[:0], coors[:0], 2)
    assert maps.shape == (2, 10, 6, 5) and not maps.any()
    maps, middle = made(features, coors, 2)
    assert [f.shape[1] for f, _ in middle] == [6, 6]
    assert torch.equal(middle[0][1], coors.long())


def test_weights_are_those_of_mmdet3d():
    cfg = second()
    own = build_network(cfg, 'own')
    cfg['model']['middle_encoder']['type'] = 'SparseEncoder'
    theirs = build_network(cfg, 'theirs')
    assert type(theirs.middle_encoder) is MMDetSparseEncoder
    assert own.state_dict().keys() == theirs.state_dict().keys()
    theirs.load_state_dict(own.state_dict())


def test_second_trains():
    network = build_network(second(), 'student').train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02)
    batch = network.data_preprocessor(lidar_batch(), True)
    totals = []
    for _ in range(6):
        losses = network(batch['inputs'], batch['data_samples'], mode='loss')
        total, _ = network.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        assert all(p.grad is not None for p in network.parameters())
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.9 * totals[0]
    network.eval()
    found = network.val_step(lidar_batch(num_scans=1))
    assert 'pred_instances_3d' in found[0]
