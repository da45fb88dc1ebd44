import pytest
import torch

from mmkd.bev import LiftIndex, lift_pool
from mmkd.bev.pooling import METHODS
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator, values

SHAPE = dict(images=3, bins=5, channels=4, size=(3, 4))
CELLS = 17


@pytest.fixture
def index():
    """Random entries; cells and pixels without any, and some twice."""
    generator = torch.Generator().manual_seed(0)

    def draw(high):
        return torch.randint(high, (70, ), generator=generator)

    depth = draw(3 * 5 * 3 * 4)
    pixel = depth // (5 * 12) * 12 + depth % 12
    return LiftIndex(
        draw(CELLS - 2), pixel, depth, CELLS, 3 * 12,
        torch.rand(70, generator=generator, dtype=torch.float64))


def by_hand(depth, context, index):
    """One entry after the other, in float64."""
    depth, context = depth.double(), context.double()
    out = [torch.zeros(context.size(1)).double() for _ in range(CELLS)]
    pixels = context.permute(0, 2, 3, 1).reshape(-1, context.size(1))
    scale = torch.ones(len(index.cell)) if index.scale is None else index.scale
    for e, cell in enumerate(index.cell.tolist()):
        out[cell] = out[cell] + scale[e] * depth.flatten()[
            index.depth[e]] * pixels[index.pixel[e]]
    return torch.stack(out)


@pytest.mark.parametrize('scaled', [True, False])
@pytest.mark.parametrize('method', METHODS)
def test_equal_to_a_loop(index, random_maps, method, scaled):
    if not scaled:
        index.scale = None
    depth, context = random_maps(**SHAPE)
    weight = torch.randn(CELLS, 4)
    expected = by_hand(depth, context, index)
    (expected * weight).sum().backward()
    grads = depth.grad, context.grad
    depth.grad = context.grad = None
    found = lift_pool(depth, context, index, method)
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < 1e-5
    (found * weight).sum().backward()
    assert (depth.grad - grads[0]).abs().max() < 1e-5
    assert (context.grad - grads[1]).abs().max() < 1e-5
    assert (found[CELLS - 2:] == 0).all()


@pytest.mark.parametrize('method', METHODS)
def test_numerical_gradient(index, random_maps, method):
    inputs = random_maps(**SHAPE, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda d, c: lift_pool(d, c, index, method), inputs)


@pytest.mark.parametrize('method', METHODS)
def test_one_input_without_gradient(index, random_maps, method):
    depth, context = random_maps(**SHAPE)
    for frozen, trained in ((depth, context), (context, depth)):
        inputs = [x if x is trained else x.detach() for x in (depth, context)]
        lift_pool(*inputs, index, method).sum().backward()
        assert trained.grad.abs().sum() > 0
        assert frozen.grad is None
        trained.grad = None


@pytest.mark.parametrize('method', METHODS)
def test_no_entries(random_maps, method):
    none = torch.zeros(0, dtype=torch.long)
    depth, context = random_maps(**SHAPE)
    found = lift_pool(depth, context, LiftIndex(none, none, none, CELLS,
                                                3 * 12), method)
    assert found.shape == (CELLS, 4) and (found == 0).all()
    found.sum().backward()
    assert (depth.grad == 0).all() and (context.grad == 0).all()


def test_nothing_is_sorted_twice(index, random_maps, monkeypatch):
    depth, context = random_maps(**SHAPE)
    lift_pool(depth, context, index).sum().backward()

    def refuse(*args, **kwargs):
        raise AssertionError('sorted again')

    monkeypatch.setattr(torch, 'argsort', refuse)
    monkeypatch.setattr(torch, 'sort', refuse)
    with torch.autograd.profiler.profile() as profile:
        lift_pool(depth, context, index).sum().backward()
    names = {event.name for event in profile.function_events}
    assert not any('sort' in name for name in names)
    assert any('embedding_bag' in name for name in names)


def test_half_precision_sums_in_float32(index, random_maps):
    depth, context = random_maps(**SHAPE)
    with torch.autocast('cpu', torch.bfloat16):
        found = lift_pool(depth.bfloat16(), context.bfloat16(), index)
    assert found.dtype == torch.float32
    expected = by_hand(depth.bfloat16(), context.bfloat16(), index)
    assert (found - expected).abs().max() < 1e-5


def test_other_method(index, random_maps):
    with pytest.raises(ValueError, match='fused, index_add'):
        lift_pool(*random_maps(**SHAPE), index, 'sorted')


@pytest.mark.parametrize('method', METHODS)
def test_unused_entries(index, random_maps, method):
    """A CPU leaves them out; another device sums them in spare cells."""
    used = torch.arange(70) % 3 > 0
    weight = torch.randn(CELLS, 4)
    depth, context = random_maps(**SHAPE)

    def sums(index, depth, context, weight):
        found = lift_pool(depth, context, index, method)
        return found, torch.autograd.grad((found * weight).sum(),
                                          (depth, context))

    args = (index.cell.where(used, -7), index.pixel, index.depth)
    part = LiftIndex(*(x[used] for x in args), CELLS, 3 * 12,
                     index.scale[used])
    expected, grads = sums(part, depth, context, weight)
    here = LiftIndex(*args, CELLS, 3 * 12, index.scale, used)
    assert here.cell.equal(part.cell) and here.num_sums == CELLS
    with PretendedAccelerator() as accelerator:
        moved = [x.to(DEVICE) for x in (*args, index.scale, used)]
        weight = weight.to(DEVICE)
        inputs = [
            x.detach().to(DEVICE).requires_grad_() for x in (depth, context)
        ]
        accelerator.waits.clear()
        there = LiftIndex(*moved[:3], CELLS, 3 * 12, *moved[3:])
        found, grads_there = sums(there, *inputs, weight)
        assert list(accelerator.waits) == [] and there.num_sums > CELLS
    assert values(found).equal(expected)
    for grad, wanted in zip(values(grads_there), grads):
        assert (grad - wanted).abs().max() < 1e-6


@pytest.mark.gpu
def test_gpu(index, random_maps):
    depth, context = random_maps(**SHAPE)
    expected = lift_pool(depth, context, index)
    expected.square().sum().backward()
    grads = depth.grad, context.grad
    there = LiftIndex(index.cell.cuda(), index.pixel.cuda(),
                      index.depth.cuda(), CELLS, 3 * 12, index.scale.cuda())
    for method in METHODS:
        inputs = [x.detach().cuda().requires_grad_() for x in (depth, context)]
        found = lift_pool(*inputs, there, method)
        found.square().sum().backward()
        assert (found.cpu() - expected).abs().max() < 1e-5
        for value, grad in zip(inputs, grads):
            assert (value.grad.cpu() - grad).abs().max() < 1e-4
