import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmkd.core.balance import (GradientBalance, Measured, calibrate,
                               gradient_norm, gradient_shares,
                               read_loss_weight)
from mmkd.core.gradient_share import GradientShare
from mmkd.core.model import DistillationModel
from mmkd.core.schedule import Progress
from mmkd.errors import ConfigError
from mmkd.testing import segmentation_batch, segmentor
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator, values


def quadratics(task, own, dtype=torch.float32):
    """Losses whose gradients at a tap have these norms, and the tap."""
    tap = torch.tensor([3., 4.], dtype=dtype, requires_grad=True) * 1
    return task * tap.square().sum() / 10, own * tap.square().sum() / 10, [tap]


def measure(balance, task, own, taps):
    calibrate(dict(kd=Measured(balance, own, taps)), dict(loss=task))


def iterate(balance, *pairs):
    """The weight after each iteration with these norms of gradients."""
    weights = []
    for task, own in pairs:
        if balance.is_due():
            measure(balance, *quadratics(task, own))
        weights.append(balance().item())
    return weights


def test_weight_is_the_ratio_of_the_gradients():
    assert iterate(GradientBalance(), (2., 8.)) == pytest.approx([0.25])
    found = iterate(GradientBalance(0.5, interval=1), *[(3.07, 3070.)] * 50)
    assert found == pytest.approx([5e-4] * 50, rel=1e-6)


def test_mean_of_the_logarithms():
    found = iterate(GradientBalance(interval=1), (1., 4.), (1., 16.))
    old, new = 0.95 / 1.95, 1 / 1.95
    assert found[1] == pytest.approx(4**-old * 16**-new, rel=1e-5)


def test_measured_at_intervals_and_held_after_the_calibration():
    balance = GradientBalance(iters=4, interval=3)
    found = iterate(balance, (1., 2.), (1., 9.), (1., 9.), (1., 2.), (1., 9.),
                    (1., 9.), (1., 9.))
    assert found == pytest.approx([0.5] * 7)
    assert balance.steps == 4 and balance.count == 2


def test_tracking_goes_on_within_bounds():
    """The method converges, and its gradient shrinks."""

    def track():
        return GradientBalance(iters=2, interval=1, mode='track')

    pairs = [(1., 2.)] * 51 + [(1., 1e-9)] * 149
    found = iterate(track(), *pairs)
    assert found[:50] == pytest.approx([.5] * 50)
    # Measured at iterations 50, 100 and 150, of which one was as before.
    assert found[99] == pytest.approx(.5)
    assert found[100] == found[149] == pytest.approx(5.)  # ten times
    assert iterate(track(), *[(1., 2.)] * 50,
                   *[(1e-9, 1.)] * 60)[-1] == pytest.approx(.05)
    first, second = track(), track()
    iterate(first, *pairs[:101])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert iterate(second, *pairs[101:]) == found[101:]
    # Bounds lie around the first valid measurement, if it comes late.
    late = iterate(track(), *[(1., 0.)] * 50, *[(1., 1e-3)] * 50, (1., 1e-9))
    assert late[49] == 1. and late[50] == pytest.approx(1e3)
    assert late[100] == pytest.approx(1e4)


@pytest.mark.parametrize('pair', [(1., 0.), (0., 1.), (float('inf'), 1.),
                                  (1., float('nan'))])
def test_no_gradient_and_no_finite_one_are_skipped(pair):
    balance = GradientBalance(interval=1)
    found = iterate(balance, pair, (1., 2.), pair)
    assert found == pytest.approx([1., 0.5, 0.5])
    assert balance.count == 1


def test_weight_is_clipped():
    assert iterate(GradientBalance(), (1., 1e-9)) == [1e6]
    assert iterate(GradientBalance(), (1e-9, 1.)) == pytest.approx([1e-6])


def test_state_is_saved_inside_the_calibration():
    pairs = [(1., 2.), (1., 3.), (5., 3.), (1., 1.), (1., 8.)]
    whole = GradientBalance(iters=4, interval=1)
    expected = iterate(whole, *pairs)
    first = GradientBalance(iters=4, interval=1)
    iterate(first, *pairs[:2])
    second = GradientBalance(iters=4, interval=1)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert iterate(second, *pairs[2:]) == expected[2:]


def test_evaluation_leaves_it_alone():
    balance = GradientBalance()
    with torch.no_grad():
        assert not balance.is_due() and balance() == 1
    assert balance.steps == 0


def test_later_calibration_does_not_disturb_a_pending_backward():
    balance = GradientBalance(interval=1)
    task, own, taps = quadratics(1., 4.)
    measure(balance, task, own, taps)
    x = torch.ones((), requires_grad=True)
    pending = x * balance()
    measure(balance, *quadratics(1., 8.))
    pending.backward()
    assert x.grad == pytest.approx(0.25)


def test_half_precision():
    """A gradient that would underflow in float16."""
    tap = torch.ones(4, dtype=torch.float16, requires_grad=True) * 1
    loss = tap.float().sum() * 1e-8
    balance = GradientBalance()
    measure(balance, loss, 4 * loss, [tap])
    assert balance() == pytest.approx(0.25, rel=0.2)


def test_copied_tap():
    """The task loss goes on from the tensor before its copy."""
    before = torch.ones(4, requires_grad=True) * 1
    tap = before.clone()
    after = before.mul_(2)
    norm = gradient_norm(after.sum() + tap.sum(), [tap])
    assert norm == pytest.approx(6.)  # 2 + 1 in each of four cells
    leaf = torch.ones(4, requires_grad=True)
    assert gradient_norm((leaf.clone() * 2).sum(), [leaf]) == 4


def test_shares_of_gradients():
    one, two, taps = quadratics(3., 1.)
    found = gradient_shares(dict(a=one, b=two, c=torch.zeros(())), taps)
    assert {
        k: v.item()
        for k, v in found.items()
    } == pytest.approx(dict(a=.75, b=.25, c=0.))
    assert gradient_shares(dict(a=torch.zeros(())), taps)['a'] == 0


def test_no_gradient_at_the_taps():
    frozen = torch.ones(2)
    assert gradient_norm(nn.Linear(2, 1)(frozen).sum(), [frozen]) is None
    task, own, taps = quadratics(1., 1.)
    with pytest.raises(ConfigError, match='of the method reaches the taps'):
        measure(GradientBalance(), task, own.detach(), taps)


def test_activation_checkpointing():
    """Torch refuses to compute a gradient through a checkpointed layer."""
    layer, tap = nn.Linear(2, 2), torch.ones(1, 2, requires_grad=True) * 1
    loss = checkpoint(layer, tap, use_reentrant=True).sum()
    with pytest.raises(ConfigError, match='^kd: .*with_cp=False.*a number'):
        measure(GradientBalance(), loss, loss, [tap])
    # Nothing is spent: training goes on.
    loss.backward()
    assert layer.weight.grad is not None


def test_both_are_averaged_over_the_processes(monkeypatch):
    monkeypatch.setattr('mmkd.core.balance.all_reduce',
                        lambda both, op: both.add_(4.).div_(2))
    assert iterate(GradientBalance(), (2., 8.)) == pytest.approx([3 / 6])


def test_without_a_task_loss():
    """The geometric mean of all gradients is the reference."""
    balances = [GradientBalance(interval=1), GradientBalance(2., iters=1)]
    for own in ((2., 8.), (3., 8.)):
        calibrate(
            {
                str(i): Measured(balance,
                                 *quadratics(1., norm)[1:])
                for i, (balance, norm) in enumerate(zip(balances, own))
            }, {})
        weights = [balance().item() for balance in balances]
        if own[0] == 2:
            assert weights == pytest.approx([4 / 2, 2 * 4 / 8])
    # The second one is held, and still counts in the mean of the first.
    assert weights[1] == pytest.approx(1.)
    share = 1 / 1.95
    assert weights[0] == pytest.approx(
        2**(1 - share) * (24**.5 / 3)**share, rel=1e-5)
    alone = GradientBalance()
    calibrate(dict(kd=Measured(alone, *quadratics(1., 7.)[1:])), {})
    assert alone() == 1


def test_loss_weights_of_configs():
    schedule, balance = read_loss_weight('auto')
    assert schedule(Progress(0)) == 1 and balance.ratio is None
    balance.settle(0.3)
    assert balance.ratio == 0.3
    schedule, balance = read_loss_weight(
        dict(type='auto', ratio=2., iters=100, warmup=10))
    assert schedule(Progress(5)) == 0.5
    balance.settle(0.3)
    assert (balance.ratio, balance.iters, balance.interval) == (2., 100, 5)
    schedule, balance = read_loss_weight(
        dict(type='gam', module='neck', share=2., margin=.1, decay='linear'))
    assert isinstance(balance, GradientShare) and balance.weight == 5
    assert schedule(Progress(50, 100)) == 0.5
    schedule, balance = read_loss_weight(3.)
    assert schedule(Progress(0)) == 3 and balance is None


@pytest.mark.parametrize('weight, message', [
    ('automatic', "'auto' or a schedule, but got 'automatic'"),
    (dict(type='auto', value=3.), 'finds the value; its options are ratio, '),
    (dict(type='auto', rato=3.), "unknown argument 'rato'"),
    (dict(type='auto', ratio=0), 'ratio is a positive number'),
    (dict(type='auto', mode='follow'), "`mode` of GradientBalance is"),
    (dict(type='auto', iters=0), 'iters is a number of iterations'),
    (dict(type='gam', share='a'), "`share` of GradientShare is a number"),
    (dict(type='gam', margin=12.), 'percentages between 0 and 100'),
])
def test_wrong_loss_weights(weight, message):
    with pytest.raises(ConfigError, match=message):
        read_loss_weight(weight)


def test_no_wait_for_the_device():
    """Same weights as on the host, and nothing that the host waits for."""
    pairs = [(1., 2.), (1., 9.), (3., 1.)]
    wanted = iterate(GradientBalance(iters=2, interval=1), *pairs)
    with PretendedAccelerator() as accelerator:
        balance = GradientBalance(iters=2, interval=1).to(DEVICE)
        taps = [torch.tensor([3., 4.]).to(DEVICE).requires_grad_() * 1]
        sums = [taps[0].square().sum() / 10] * 2
        accelerator.waits.clear()
        found = []
        for task, own in pairs:
            if balance.is_due():
                measure(balance, task * sums[0], own * sums[1], taps)
            found.append(balance())
        assert not accelerator.waits and not accelerator.refused
        found = [values(weight).item() for weight in found]
    assert found == pytest.approx(wanted)


def gradients(loss_weight):
    """Of one step of a student, and the weight that it used."""
    torch.manual_seed(0)
    model = DistillationModel(
        student=segmentor(4),
        teachers=dict(teacher=dict(cfg=segmentor(8), ckpt='random')),
        distillers=dict(
            kd=dict(type='LogitsKD', loss_weight=loss_weight),
            other=dict(type='CWD', place='stages', loss_weight='auto')),
        dry_run_size=(64, 64)).train()
    data = model.data_preprocessor(segmentation_batch(size=(64, 64)), True)
    torch.manual_seed(1)
    loss, log = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    return [p.grad for p in model.parameters()], log


def test_same_gradients_as_with_the_number_that_it_finds():
    auto, log = gradients('auto')
    number, other = gradients(log['kd.weight'].item())
    assert other['other.weight'] == log['other.weight'] != log['kd.weight']
    assert log['loss'] == other['loss']
    assert all(
        (a is None and b is None) or a.equal(b) for a, b in zip(auto, number))
