"""What every method promises, checked on the methods' own examples.

A new method is under these checks as soon as it has an example.
"""
import copy
import functools
import hashlib

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch.utils._python_dispatch import TorchDispatchMode

from acceptance.processes import two
from mmkd.core.balance import GradientBalance, calibrate, gradient_norm
from mmkd.core.label_free import without_truth
from mmkd.core.model import DistillationModel
from mmkd.core.schedule import Progress, build_weight
from mmkd.core.terms import term_name, total_loss
from mmkd.errors import ConfigError
from mmkd.ops.operators import use_float32_operators
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator, values
from mmkd.testing.examples import PLAIN
from mmkd.testing.methods import METHOD_EXAMPLES

#: Largest relative distance of a term in bfloat16, whose numbers have 8 bits
#: (a step of 0.8 %), from the one in float32. The networks run in it too, and
#: divergences of class scores grow with the square of their distance.
TOLERANCE = 0.1
HALF = (torch.float16, torch.bfloat16)
EVERY_METHOD = pytest.mark.parametrize('name', METHOD_EXAMPLES)


def build(example, equal=False):
    """The model of an example, with teachers equal to the student or not."""
    torch.manual_seed(0)
    cfg = copy.deepcopy(example.model)
    if equal:
        cfg['teachers'] = {
            name:
            dict(cfg=copy.deepcopy(cfg['student']), ckpt='random', **PLAIN)
            for name in cfg['teachers']
        }
    model = DistillationModel(**cfg).train()
    for teacher in model.teachers.values() if equal else ():
        teacher.network.load_state_dict(model.student.state_dict())
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout2d):
            # Its masks would depend on the precision and on the process.
            module.p = 0.
    return model


@functools.lru_cache(maxsize=None)
def built(name):
    example = METHOD_EXAMPLES[name]()
    return build(example), example.batch()


def fresh(name):
    """A copy of a method's model, and a batch."""
    return copy.deepcopy(built(name))


def losses_of(model, batch, device='cpu', dtype=None):
    torch.manual_seed(1)
    use_float32_operators()
    with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
        data = model.data_preprocessor(copy.deepcopy(batch), True)
        return model(**data, mode='loss')


def terms_of(model, *args, **kwargs):
    """The terms of the method, without its figures for the log."""
    losses = losses_of(model, *args, **kwargs)
    return {
        term: losses[term_name('kd', term)]
        for term in model.distillers['kd'].weights
    }


def values_of(terms):
    return {key: value.item() for key, value in terms.items()}


def unlabelled(batch, samples):
    """The batch without objects and labels in its first samples."""
    batch = copy.deepcopy(batch)
    for sample in batch['data_samples'][:samples]:
        if 'gt_sem_seg' in sample:
            sample.gt_sem_seg.data.fill_(255)
        for key in ('gt_instances', 'gt_instances_3d'):
            if key in sample:
                setattr(sample, key, getattr(sample, key)[:0])
    return batch


@EVERY_METHOD
def test_equal_networks(name):
    """In eval mode, for a teacher normalises by its running statistics."""
    example = METHOD_EXAMPLES[name]()
    model = build(example, equal=True).eval()
    terms = terms_of(model, example.batch())
    assert {key
            for key, value in terms.items()
            if value != 0} == set(example.not_zero)
    assert all(value >= 0 for value in terms.values())
    sum(terms.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all()
               for p in model.parameters())


@EVERY_METHOD
def test_ground_truth_is_declared(name):
    """A method without `needs_labels` reads none."""
    model, batch = fresh(name)
    distiller = model.distillers['kd']
    if distiller.needs_labels:
        return
    data = model.data_preprocessor(batch, True)
    step = data.pop('step')
    # Teachers may read it.
    data = dict(without_truth(data), raw=None)
    _, tensors, seen = model.run_networks(step, data, end_early=True)
    distiller(*tensors['kd'], seen, step.weights['kd'])


def without_waiting(accelerator, compute):
    """Compute and differentiate the sum of terms, and check that no line of
    mmkd made the host wait."""
    accelerator.waits.clear()
    sum(x for x in compute().values() if x.requires_grad).backward()
    assert not accelerator.own(accelerator.waits)


def in_half(tensors, leaves):
    """Tensors as networks give them in mixed precision."""
    return {
        role: [
            x.detach().bfloat16().requires_grad_(leaves)
            if x.is_floating_point() else x for x in levels
        ]
        for role, levels in tensors.items()
    }


@EVERY_METHOD
def test_on_a_pretended_accelerator(name):
    """A step mixes no tensors of two devices, gives the CPU's losses, and
    does not wait for the device. Pictures may wait, but not mix."""
    example = METHOD_EXAMPLES[name]()
    # Not a copy of the shared model, whose teachers would stay on the device.
    model, batch = build(example), example.batch()
    wanted = terms_of(copy.deepcopy(model), batch)
    distiller, seen = model.distillers['kd'], []
    distiller.register_forward_pre_hook(lambda _, args: seen.append(args[:3]))
    with PretendedAccelerator() as accelerator:
        terms = terms_of(model.to(DEVICE), batch)
        sum(terms.values()).backward()
        # Constants are copied in the first step.
        without_waiting(accelerator, lambda: terms_of(model, batch))
        used = [p for p in model.parameters() if p.grad is not None]
        student, teacher, step = seen[-1]
        with torch.no_grad():
            distiller.visuals(student, teacher, step)
        student, teacher = in_half(student, True), in_half(teacher, False)
        with torch.autocast(DEVICE.type, torch.bfloat16):
            without_waiting(accelerator,
                            lambda: distiller(student, teacher, step))
    assert not accelerator.refused
    for term, value in terms.items():
        torch.testing.assert_close(values(value), wanted[term])
    assert used and all(p.grad.device == DEVICE for p in used)


@EVERY_METHOD
def test_gradients_stay_with_student_and_method(name):
    model, batch = fresh(name)
    networks = [teacher.network for teacher in model.teachers.values()]
    before = copy.deepcopy([x.state_dict() for x in networks])
    terms = terms_of(model, batch)
    student = list(model.student.parameters())
    for key, value in terms.items():
        gradients = torch.autograd.grad(
            value, student, retain_graph=True, allow_unused=True)
        reached = any(g is not None and g.any() for g in gradients)
        assert reached == (key not in model.distillers['kd'].own_terms), key
    sum(terms.values()).backward()
    for key, p in model.distillers.named_parameters():
        if p.requires_grad:
            assert p.grad is not None and p.grad.isfinite().all(), key
        else:
            assert p.grad is None, key
    for network, state in zip(networks, before):
        assert not network.training
        assert all(p.grad is None for p in network.parameters())
        assert all(v.equal(state[k]) for k, v in network.state_dict().items())


@EVERY_METHOD
def test_automatic_weight_balances_the_gradients(name, monkeypatch):
    model, batch = fresh(name)
    distiller = model.distillers['kd']
    distiller.loss_weight, distiller.balance = build_weight(
        1.), GradientBalance(0.5)
    found = []

    def watched(methods, task_losses):
        _, own, taps = methods['kd']
        task = total_loss(task_losses)
        found.append(gradient_norm(own, taps) / gradient_norm(task, taps))
        calibrate(methods, task_losses)

    monkeypatch.setattr('mmkd.core.distilling.calibrate', watched)
    losses = losses_of(model, batch)
    weight = losses['kd.weight']
    assert not weight.requires_grad
    assert (found[0] * weight).item() == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize('samples', [1, 2], ids=['one', 'all'])
@EVERY_METHOD
def test_without_objects_and_labels(name, samples):
    model, batch = fresh(name)
    terms = terms_of(model, unlabelled(batch, samples))
    parameters = [p for p in model.parameters() if p.requires_grad]
    zeros = set()
    for key, value in terms.items():
        assert value.isfinite() and value.requires_grad, key
        gradients = torch.autograd.grad(
            value, parameters, retain_graph=True, allow_unused=True)
        gradients = [g for g in gradients if g is not None]
        assert all(g.isfinite().all() for g in gradients), key
        if value == 0:
            zeros.add(key)
            assert not any(g.any() for g in gradients), key
    if samples == len(batch['data_samples']):
        assert zeros == set(METHOD_EXAMPLES[name]().zero_without_objects)


@EVERY_METHOD
def test_with_a_cache(name, tmp_path):
    """The losses are those of a batch whose tensors were not stored, or the
    method is refused."""
    example = METHOD_EXAMPLES[name]()
    for teacher in example.model['teachers'].values():
        teacher['cache'] = dict(dir=str(tmp_path))
    model = built(name)[0]
    needs = [
        x.needs_inputs or x.needs_head for x in model.distillers.values()
    ] + [
        getattr(x.network, 'reads_labels', False)
        for x in model.teachers.values()
    ]
    if any(needs):
        with pytest.raises(
                ConfigError,
                match='`cache` cannot be used: (the d|.* reads the ground)'):
            build(example)
        return
    found = []
    for hits in (0, 2):
        model = build(example)
        torch.manual_seed(1)
        batch = model.data_preprocessor(example.batch(2), True)
        found.append(values(model(**batch, mode='loss')))
        for teacher in model.teachers.values():
            assert teacher.cache.hits == hits
            teacher.cache.close()
    torch.testing.assert_close(
        found[0], found[1], rtol=0, atol=0, equal_nan=True)


@EVERY_METHOD
def test_deep_copy(name):
    model, batch = fresh(name)
    other = copy.deepcopy(model)
    shared = {x.data_ptr() for x in model.state_dict().values() if x.numel()}
    assert not shared & {x.data_ptr() for x in other.state_dict().values()}
    terms = terms_of(other, batch)
    sum(terms.values()).backward()
    assert all(p.grad is None for p in model.parameters())
    assert values_of(terms) == values_of(terms_of(model, batch))


@EVERY_METHOD
def test_state_dict(name):
    model, batch = fresh(name)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1.)
    state = copy.deepcopy(model.state_dict())
    assert {k
            for k in state
            if not k.startswith('distill.')} == set(model.student.state_dict())
    other.load_state_dict(state)
    assert all(v.equal(state[k]) for k, v in other.state_dict().items())
    assert values_of(terms_of(other,
                              batch)) == values_of(terms_of(model, batch))


@EVERY_METHOD
def test_idle_losses(name, monkeypatch):
    """At weight 0 no teacher runs, and nothing is computed."""
    model, batch = fresh(name)
    distiller = model.distillers['kd']
    distiller.loss_weight = build_weight(0.)
    for part in (distiller, *model.teachers.values()):
        for method in ('losses', 'extract'):
            monkeypatch.setattr(part, method, None, raising=False)
    losses = losses_of(model, batch)
    own = [p for p in distiller.parameters() if p.requires_grad]
    terms = [v for k, v in losses.items() if k.startswith('kd.')]
    assert len(terms) == len(distiller.weights)
    assert all(v == 0 and v.requires_grad == bool(own) for v in terms)
    model.parse_losses(losses)[0].backward()
    assert all(p.grad is None for p in own)


@EVERY_METHOD
def test_terms_without_weight(name):
    """A term at weight 0 is an exact zero, and the others stay."""
    model, batch = fresh(name)
    distiller = model.distillers['kd']
    own = [p for p in distiller.parameters() if p.requires_grad]
    everything = values_of(terms_of(model, batch))
    for idle, weight in list(distiller.weights.items()):
        distiller.weights[idle] = build_weight(0.)
        terms = terms_of(model, batch)
        assert values_of(terms) == {**everything, idle: 0.}
        assert terms[idle].requires_grad == bool(own)
        distiller.weights[idle] = weight


# ------------------------------------------------------------ two processes


def gradients_of_two(rank, names):
    """Hashes of the gradients of two steps, and of one that idles."""
    torch.distributed.init_process_group('gloo')
    found = {}
    for name in names:
        model, batch = fresh(name)
        found[name] = [*steps_of(model, part_of(batch, rank))]
    return found


def part_of(value, i):
    if isinstance(value, dict):
        return {key: part_of(item, i) for key, item in value.items()}
    return value[i:i + 1]


def steps_of(model, batch):
    ddp = MMDistributedDataParallel(
        model, find_unused_parameters=False, broadcast_buffers=False)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4))
    for weight in (1., 1., 0.):
        model.distillers['kd'].loss_weight = build_weight(weight)
        log = ddp.train_step(copy.deepcopy(batch), wrapper)
        assert log['loss'].isfinite()
        digest = hashlib.sha256()
        for p in model.parameters():
            digest.update(p.detach().numpy().tobytes())
        yield digest.hexdigest()


@pytest.fixture(scope='module')
def processes():
    """What two processes got, a sample each, for all methods."""
    for name in METHOD_EXAMPLES:
        built(name)
    return two(gradients_of_two, list(METHOD_EXAMPLES))


@EVERY_METHOD
def test_two_processes(processes, name):
    """DDP raises if a parameter took no part in the step before."""
    first, second = (found[name] for found in processes)
    assert first == second and len(set(first)) == 3


# ---------------------------------------------------------- mixed precision


class HalfExponentials(TorchDispatchMode):
    """Note the exponentials of numbers in half precision."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if any(part in name for part in ('exp', 'softmax')) and any(
                isinstance(x, torch.Tensor) and x.dtype in HALF for x in args):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@EVERY_METHOD
def test_bfloat16_is_near_float32(name, monkeypatch):
    model, batch = fresh(name)
    full = terms_of(copy.deepcopy(model), batch)
    distiller = model.distillers['kd']
    losses, watch = distiller.losses, HalfExponentials()

    def watched(*args, **kwargs):
        with watch:
            return losses(*args, **kwargs)

    monkeypatch.setattr(distiller, 'losses', watched)
    half = terms_of(model, batch, dtype=torch.bfloat16)
    assert watch.found == []
    assert full.keys() == half.keys()
    for key, value in full.items():
        assert half[key].dtype == torch.float32, key
        assert half[key].item() == pytest.approx(
            value.item(), rel=TOLERANCE, abs=1e-5), key
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


@torch.no_grad()
def scaled(tensors, peak, dtype, leaves=False):
    """The tensors with values up to ``peak``."""
    found = {}
    for role, levels in tensors.items():
        found[role] = [(x.float() / x.float().abs().max().clamp(min=1e-6) *
                        peak).to(dtype).requires_grad_(leaves)
                       if x.is_floating_point() else x for x in levels]
    return found


@pytest.mark.parametrize('dtype', HALF, ids=['float16', 'bfloat16'])
@EVERY_METHOD
def test_values_of_ten_thousand(name, dtype):
    """float16 ends at 65504, and the exponential of 12 is above it."""
    model, batch = fresh(name)
    distiller = model.distillers['kd']
    (student, teacher), step = caught(model, batch)
    step = step.for_terms(frozenset(distiller.weights))
    # Another order of the same numbers.
    teacher = {
        role: [x.flip(-1) if x.dim() == 4 else x for x in levels]
        for role, levels in teacher.items()
    }
    leaves = scaled(student, 1e4, dtype, leaves=True)
    with torch.autocast('cpu', dtype=dtype):
        terms = distiller.losses(leaves, scaled(teacher, 1e4, dtype), step)
    for key in distiller.weights:
        assert terms[key].dtype == torch.float32
        assert terms[key].isfinite(), (key, terms[key])
    # As the scaler of float16 finds a scale for gradients.
    (sum(terms[key] for key in distiller.weights) * 1e-6).backward()
    gradients = [
        x.grad for levels in leaves.values() for x in levels
        if x.grad is not None
    ]
    assert gradients and all(g.isfinite().all() for g in gradients)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', HALF, ids=['float16', 'bfloat16'])
@EVERY_METHOD
def test_on_a_gpu(name, dtype):
    model, batch = fresh(name)
    model = model.cuda()
    full = terms_of(copy.deepcopy(model), batch, 'cuda')
    half = terms_of(copy.deepcopy(model), batch, 'cuda', dtype)
    for key, value in full.items():
        assert half[key].item() == pytest.approx(
            value.item(), rel=TOLERANCE, abs=1e-5), key
    wrapper = AmpOptimWrapper(
        dtype=str(dtype).split('.')[1],
        optimizer=torch.optim.SGD(model.parameters(), lr=1e-4))
    for _ in range(3):
        log = model.train_step(batch, wrapper)
        assert log['loss'].isfinite()
    assert all(p.isfinite().all() for p in model.parameters())
