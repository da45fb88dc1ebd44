"""Every method in mixed precision, beside itself in full."""
import copy

import pytest
import torch

from mmkd import apis
from mmkd.core.model import DistillationModel
from mmkd.core.schedule import Progress
from mmkd.testing.methods import METHOD_EXAMPLES

#: Largest relative distance of a term in bfloat16, whose numbers have 8 bits
#: (a step of 0.8 %), from the one in float32. The networks run in it too, and
#: divergences of class scores grow with the square of their distance.
TOLERANCE = 0.1
CUDA = pytest.mark.skipif(
    not torch.cuda.is_available(), reason='needs a GPU: float16 of autocast')


def build(name):
    torch.manual_seed(0)
    example = METHOD_EXAMPLES[name]()
    model = DistillationModel(**copy.deepcopy(example.model)).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout2d):
            # Whose masks would hang on the precision.
            module.p = 0.
    return model, example.batch()


def terms_of(model, batch, device='cpu', dtype=None):
    torch.manual_seed(1)
    with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
        data = model.data_preprocessor(batch, True)
        losses = model(**data, mode='loss')
    return {k: v for k, v in losses.items() if k.startswith('kd.loss')}


@pytest.mark.parametrize('name', METHOD_EXAMPLES)
def test_bfloat16_is_near_float32(name):
    model, batch = build(name)
    full = terms_of(copy.deepcopy(model), copy.deepcopy(batch))
    half = terms_of(model, batch, dtype=torch.bfloat16)
    assert full.keys() == half.keys()
    for key, value in full.items():
        assert half[key].dtype == torch.float32, key
        assert half[key].item() == pytest.approx(
            value.item(), rel=TOLERANCE, abs=1e-4), key
    sum(half.values()).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(g.isfinite().all() for g in gradients)


def caught(model, batch):
    """What the distiller gets, as leaves."""
    step = model.planner.at(Progress(0, 100))
    with torch.no_grad():
        _, tensors, step_batch = model.run_networks(
            step, model.prepare_batch(batch, step.teachers))
    return tensors['kd'], step_batch


def scaled(tensors, peak, dtype, leaves=False):
    """The tensors with values up to ``peak``."""
    found = {}
    for role, levels in tensors.items():
        found[role] = [(x.float() / x.float().abs().max().clamp(min=1e-6) *
                        peak).to(dtype).requires_grad_(leaves)
                       if x.is_floating_point() else x for x in levels]
    return found


@pytest.mark.parametrize('name', METHOD_EXAMPLES)
def test_values_of_ten_thousand(name):
    """float16 ends at 65504, and the exponential of 12 is above it."""
    model, batch = build(name)
    distiller = model.distillers['kd']
    (student, teacher), step = caught(model, batch)
    step = step.for_terms(frozenset(distiller.weights))
    # Another order of the same numbers.
    teacher = {
        role: [x.flip(-1) if x.dim() == 4 else x for x in levels]
        for role, levels in teacher.items()
    }
    for dtype in (torch.float16, torch.bfloat16):
        leaves = scaled(student, 1e4, dtype, leaves=True)
        with torch.autocast('cpu', dtype=dtype):
            terms = distiller.losses(leaves, scaled(teacher, 1e4, dtype), step)
        for key in distiller.weights:
            assert terms[key].dtype == torch.float32
            assert terms[key].isfinite(), (dtype, key, terms[key])
        # As the scaler of float16 finds a scale for gradients.
        (sum(terms[key] for key in distiller.weights) * 1e-6).backward()
        gradients = [
            x.grad for levels in leaves.values() for x in levels
            if x.grad is not None
        ]
        assert gradients and all(g.isfinite().all() for g in gradients)


@CUDA
@pytest.mark.parametrize(
    'dtype', [torch.float16, torch.bfloat16], ids=['float16', 'bfloat16'])
@pytest.mark.parametrize('name', METHOD_EXAMPLES)
def test_on_a_gpu(name, dtype):
    from mmengine.optim import AmpOptimWrapper
    model, batch = build(name)
    model = model.cuda()
    full = terms_of(copy.deepcopy(model), copy.deepcopy(batch), 'cuda')
    half = terms_of(copy.deepcopy(model), copy.deepcopy(batch), 'cuda', dtype)
    for key, value in full.items():
        assert half[key].item() == pytest.approx(
            value.item(), rel=TOLERANCE, abs=1e-4), key
    wrapper = AmpOptimWrapper(
        dtype=str(dtype).split('.')[1],
        optimizer=torch.optim.SGD(model.parameters(), lr=1e-4))
    for _ in range(3):
        log = model.train_step(batch, wrapper)
        assert log['loss'].isfinite()
    assert all(p.isfinite().all() for p in model.parameters())


def test_wrapper_on_a_cpu():
    from mmengine.config import Config
    cfg = Config(
        dict(
            optim_wrapper=dict(
                type='AmpOptimWrapper', loss_scale='dynamic', dtype='x')))
    if not torch.cuda.is_available():
        apis.use_amp(cfg)
        assert cfg.optim_wrapper.type == 'mmkd.CPUAmpOptimWrapper'
        assert 'loss_scale' not in cfg.optim_wrapper
