import copy
import logging
import pickle
import shutil

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmkd.core import compiling
from mmkd.core.compiling import compile_student
from mmkd.core.taps import Tap, TapCatcher
from mmkd.errors import ConfigError

needs_compiler = pytest.mark.skipif(
    shutil.which('g++') is None, reason='needs a C++ compiler')
BACKENDS = [
    'eager', 'aot_eager',
    pytest.param('inductor', marks=[pytest.mark.slow, needs_compiler])
]


class Backbone(nn.Module):

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.stages = nn.ModuleList([
            nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1), nn.ReLU(inplace=True)),
            nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.Dropout())
        ])

    def forward(self, x):
        x = self.stem(x)
        outs = []
        for stage in self.stages:
            x = stage(x)
            outs.append(x)
        return tuple(outs)


class Student(nn.Module):

    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.neck = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.neck(self.backbone(x)[-1])


def student():
    torch.manual_seed(0)
    return Student().train()


@pytest.fixture
def said(monkeypatch):
    found = []
    monkeypatch.setattr(
        compiling,
        'print_log',
        lambda text, logger=None, level=logging.INFO: found.append(
            (level, text)))
    return found


@pytest.fixture(autouse=True)
def clean_compiler():
    yield
    torch.compiler.reset()


def step(network, taps, size=16, amp=False):
    """What a step of training gives, and leaves behind."""
    network.zero_grad()
    torch.manual_seed(size)
    inputs = torch.randn(2, 3, size, size + 4)
    catcher = TapCatcher(network, [Tap.parse(tap) for tap in taps], 'student')
    with catcher, torch.autocast('cpu', torch.bfloat16, enabled=amp):
        out = network(inputs)
    caught = [
        tensor for levels in catcher.take().values() for tensor in levels
    ]
    loss = sum(tensor.float().pow(2).sum() for tensor in [out, *caught])
    # Automatic weights do so.
    first, = torch.autograd.grad(loss, [caught[0]], retain_graph=True)
    loss.backward()
    return [
        out, *caught, first, *(p.grad for p in network.parameters()),
        *(buffer.clone() for buffer in network.buffers()),
        torch.rand(1)
    ]


def differ(found, wanted):
    return max(
        float((a.float() - b.float()).norm() / b.float().norm().clamp(1e-6))
        for a, b in zip(found, wanted))


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('taps, parts', [
    (['neck', 'backbone[1]'], ['backbone']),
    (['backbone.stages.0'
      ], ['backbone.stem', 'backbone.stages.0', 'backbone.stages.1']),
])
def test_steps_stay_the_same(backend, taps, parts, said):
    """Values, gradients, statistics and random numbers, at two sizes."""
    plain, compiled = student(), student()
    assert compile_student(compiled, [Tap.parse(tap) for tap in taps], backend)
    assert ', '.join(parts) in said.pop()[1]
    assert list(compiled.state_dict()) == list(plain.state_dict())
    for size, amp in ((16, False), (24, False), (16, False), (24, True)):
        found, wanted = (
            step(net, taps, size, amp) for net in (compiled, plain))
        limit = .05 if amp else 1e-5
        assert differ(found, wanted) <= (0 if backend == 'eager' else limit)
    assert not said
    assert isinstance(
        compiled.backbone.stem.forward if len(parts) > 1 else
        compiled.backbone.forward, compiling.CompiledForward)


def test_taps_inside_leave_a_part_plain(said):
    network = student()
    tap = Tap.parse('backbone.stages.0.0')
    assert compile_student(network, [tap], 'eager')
    assert said.pop()[1].startswith(
        'torch.compile of backbone.stem, backbone.stages.1 in')
    network.backbone = network.neck  # has no parts
    assert not compile_student(network, [tap], 'eager')
    level, text = said.pop()
    assert level == logging.WARNING and 'has no backbone' in text
    assert not compile_student(network, [tap], False)
    with pytest.raises(ConfigError, match="eager.*not 'fast'"):
        compile_student(network, [tap], 'fast')


def fails(forward, **_):

    def run(*args):
        forward(*args)  # the statistics and the random numbers change
        raise RuntimeError('no\n  compiler')

    return run


def is_wrong(forward, **_):
    return lambda *args: tuple(x * 1.01 for x in forward(*args))


def has_wrong_gradients(forward, **_):

    def run(*args):
        return tuple(x * 1.1 - x.detach() * .1 for x in forward(*args))

    return run


@pytest.mark.parametrize('compiler, reason', [
    (fails, 'RuntimeError: no compiler'),
    (is_wrong, 'it would change outputs by 0.01 of their size'),
    (has_wrong_gradients, 'it would change gradients by 0.1 of their size'),
])
def test_what_differs_is_undone(compiler, reason, monkeypatch, said):
    monkeypatch.setattr(torch, 'compile', compiler)
    plain, network = student(), student()
    compile_student(network, [], True)
    said.clear()
    for _ in range(2):
        taps = ['backbone[1]']
        assert differ(step(network, taps), step(plain, taps)) == 0
    assert said == [(logging.WARNING,
                     'the student stays as it is, without torch.compile of '
                     f'backbone: {reason}')]
    assert 'forward' not in vars(network.backbone)


def test_activation_checkpointing_leaves_it_plain(said):
    """Torch refuses the gradients by which both forwards are compared."""

    class Checkpointed(Backbone):

        def forward(self, x):
            return (checkpoint(super().forward, x, use_reentrant=True)[-1], )

    network = student()
    network.backbone = Checkpointed().train()
    assert compile_student(network, [], 'eager')
    network(torch.randn(2, 3, 16, 16, requires_grad=True)).sum().backward()
    assert network.backbone.stem[0].weight.grad is not None
    (level, text), = [x for x in said if x[0] == logging.WARNING]
    assert 'stays as it is' in text and 'checkpoint' in text


def test_evaluation_and_copies_are_not_compiled(monkeypatch):

    def not_now(*args):
        raise AssertionError

    monkeypatch.setattr(torch, 'compile', lambda *_, **__: not_now)
    network = student()
    compile_student(network, [], True)
    inputs = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        network(inputs)
    wanted = network.eval()(inputs)
    for make in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        other = make(network).train()
        other(inputs).sum().backward()
        assert network.neck.weight.grad is None
        other.load_state_dict(network.state_dict())
        assert torch.equal(other.eval()(inputs), wanted)
        with torch.no_grad():
            other.backbone.stem[0].weight.zero_()
        assert not torch.equal(other(inputs), wanted)


def test_a_step_may_be_compiled_as_a_whole():
    plain, network = student(), student()
    compile_student(network, [], 'eager')
    whole = torch.compile(network, backend='eager')
    inputs = torch.rand(2, 3, 16, 16)
    for net in (plain, whole):
        torch.manual_seed(0)
        net(inputs).sum().backward()
    assert all(
        map(torch.equal, (p.grad for p in network.parameters()),
            (p.grad for p in plain.parameters())))
    assert not network.backbone.forward._checked


@pytest.mark.parametrize('gpu, capability, expected', [
    (False, None, False),
    (True, (6, 1), False),
    (True, (9, 0), True),
])
def test_gpus_compile_by_default(gpu, capability, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    monkeypatch.setattr(torch.cuda, 'get_device_capability',
                        lambda: capability)
    monkeypatch.setattr(compiling.importlib.util, 'find_spec',
                        lambda name: name == 'triton')
    assert compiling.compiles_by_default() is expected
