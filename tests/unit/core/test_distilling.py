import pytest
import torch
from torch import nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.distilling import distil
from mmkd.core.schedule import Progress
from mmkd.core.step import Step


class Scaled(Distiller):
    """The sum of its tap, times a factor."""
    figures = ('tap', )

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def losses(self, student, teacher, batch):
        value = student['logits'][0].sum()
        return dict(loss=self.factor * value, tap=value)


def run(distillers, task_losses, shares=False):
    """One step in which all but the distiller ``idle`` are active."""
    distillers = nn.ModuleDict(distillers)
    tap = torch.ones(4, requires_grad=True) * 1
    task = {name: factor * tap.sum() for name, factor in task_losses.items()}
    names = [name for name in distillers if name != 'idle']
    return distil(
        distillers,
        Step(Progress(0), {name: dict(loss=1.)
                           for name in names}, (), shares), [({
                               name: (dict(logits=[tap]), {})
                               for name in names
                           }, StepBatch(task_losses=task))],
        torch.device('cpu'))


def test_names_and_idle_distillers():
    losses = run(dict(one=Scaled(2.), idle=Scaled(3.)), dict(loss=1.))
    assert list(losses) == ['one.loss', 'one.tap', 'idle.loss']
    assert losses['one.loss'] == 8 and losses['idle.loss'] == 0


class Sometimes(Scaled):
    """Has its figure for large taps alone."""

    def losses(self, student, teacher, batch):
        found = super().losses(student, teacher, batch)
        if found['tap'] < 3:
            del found['tap']
        return found


@pytest.mark.parametrize('order', [1, -1])
def test_a_figure_of_one_part(order):
    parts = [({
        'one': (dict(logits=[torch.ones(images)]), {})
    }, StepBatch(data_samples=[None] * images)) for images in (3, 1)][::order]
    losses = distil(
        nn.ModuleDict(dict(one=Sometimes(2.))),
        Step(Progress(0), dict(one=dict(loss=1.)), (), False), parts,
        torch.device('cpu'))
    assert losses == {'one.loss': (3 * 6 + 2) / 4, 'one.tap': 3}


def test_hooks_of_distillers_run():
    """A replay finds the module that breaks by them."""
    distiller, seen = Scaled(2.), []
    distiller.register_forward_hook(lambda *x: seen.append(x[2]['loss']))
    run(dict(one=distiller), {})
    assert seen == [8]


def test_automatic_weights():

    def made():
        return dict(
            one=Scaled(2., loss_weight='auto'),
            two=Scaled(8., loss_weight='auto'),
            fixed=Scaled(5.))

    losses = run(made(), dict(loss=3., accuracy=100.))
    assert losses['one.weight'].item() == pytest.approx(3 / 2)
    assert losses['two.loss'].item() == pytest.approx(3 * 4)
    losses = run(made(), {})  # the geometric mean of 2 and 8
    assert losses['one.loss'].item() == pytest.approx(4 * 4)
    assert losses['two.loss'].item() == pytest.approx(4 * 4)
    assert losses['fixed.loss'] == 20


def test_shares_of_the_gradients():
    distillers = dict(
        one=Scaled(2.), two=Scaled(3., loss_weight='auto'), idle=Scaled(5.))
    losses = run(distillers, dict(loss=5., accuracy=7.), True)
    shares = {k: v.item() for k, v in losses.items() if k.endswith('share')}
    assert shares == pytest.approx({
        'one.share': 2 / 12,
        'two.share': 5 / 12,
        'student.share': 5 / 12
    })
    losses = run(dict(one=Scaled(2.)), {}, True)
    assert losses['one.share'] == 1 and 'student.share' not in losses
