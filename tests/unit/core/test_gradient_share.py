import pytest
import torch
from torch import nn

from mmkd.core.gradient_share import GradientShare
from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.testing import segmentor
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator


def with_gradients(*norms, device='cpu'):
    """A parameter for each L1 norm."""
    parameters = [nn.Parameter(torch.zeros(4, device=device)) for _ in norms]
    for parameter, norm in zip(parameters, norms):
        parameter.grad = torch.tensor([-.5, .25, 0, .25]).to(device) * norm
    return parameters


def after(*percentages, last=False, **options):
    """The weight after an epoch of iterations with these shares."""
    balance = GradientShare('neck', **options)
    for own in percentages:
        balance.add(with_gradients(own), with_gradients(60. - own, 40.))
    balance.end_epoch(last)
    return balance().item()


@pytest.mark.parametrize('share, expected', [
    (2., 33.409),
    (30., 1.2963),
    (.5, 50.),
    (10.5, 5.),
    (12., 5.),
    (0., 20.),
])
def test_published_values(share, expected):
    assert after(share) == pytest.approx(expected, rel=1e-4)


def test_nearly_all_gradients():
    balance = GradientShare('neck')
    balance.add(with_gradients(95.), with_gradients(5.))
    balance.end_epoch(False)
    assert balance().item() == pytest.approx(.5)


def test_an_epoch_is_one_mean_and_the_last_ones_have_the_default():
    assert after(1., 3.) == pytest.approx(33.409, rel=1e-4)
    assert after(1., 3., last=True, default=7.) == 7


def test_nothing_and_overflows():
    balance = GradientShare('neck')
    balance.is_read = True
    frozen = [nn.Parameter(torch.zeros(3))]
    assert balance.end_epoch(False).isnan() and balance() == 20
    balance.add(frozen, frozen)
    balance.add(with_gradients(float('inf')), with_gradients(1.))
    balance.add(with_gradients(11.), with_gradients(89.))
    assert balance.end_epoch(False).item() == pytest.approx(11.)
    assert balance() == 20


def test_processes_are_added_up_and_state_is_saved(monkeypatch):
    monkeypatch.setattr('mmkd.core.gradient_share.all_reduce',
                        lambda sums: sums.add_(torch.tensor([3., 100.])))
    first, second = GradientShare('neck'), GradientShare('neck')
    first.add(with_gradients(1.), with_gradients(99.))
    second.load_state_dict(first.state_dict())
    for balance in (first, second):
        balance.end_epoch(False)
        assert balance().item() == pytest.approx(33.409, rel=1e-4)


def test_no_wait_for_the_device():
    with PretendedAccelerator() as accelerator:
        balance = GradientShare('neck').to(DEVICE)
        own, others = with_gradients(
            2., device=DEVICE), with_gradients(
                98., device=DEVICE)
        accelerator.waits.clear()
        balance.add(own, others)
        balance.end_epoch(False)
        balance()
        assert not accelerator.waits and not accelerator.refused


def model(label_free=False, **options):
    return DistillationModel(
        segmentor(4),
        dict(teacher=dict(cfg=segmentor(8), ckpt='random')),
        dict(
            dsi=dict(
                type='FeatureKD',
                preset='dsi',
                student='backbone.layer4',
                teacher='backbone[-1]',
                loss_weight=dict(type='gam', **options))),
        dry_run_size=(64, 64),
        label_free=label_free)


def test_module():
    student = segmentor(4)
    names = [name for name, _ in model().student.named_children()]
    assert student and 'backbone' in names
    assert model().distillers['dsi'].balance.modules_read == [
        'backbone.layer4'
    ]
    with pytest.raises(ConfigError, match="'dsi'.* has no module 'neck'"):
        model(module='neck')
    with pytest.raises(ConfigError, match='a run without labels does not'):
        model(True)
