import pytest
import torch
from torch import nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.schedule import Progress
from mmkd.core.taps.tap import Tap, TapSpec
from mmkd.errors import ConfigError


class Method(Distiller):
    """Two terms, and a parameter of its own."""
    roles = ('logits', 'neck')
    teacher_roles = ('neck', )
    default_weights = dict(a=2., b=3.)
    figures = ('loss_of_sight', )

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.own = nn.Linear(2, 2)
        self.asked = []

    def losses(self, student, teacher, batch):
        self.asked.append(batch.active_terms)
        value = self.own.weight.sum()
        return {term: value for term in batch.active_terms}


def batch(iteration=0):
    return StepBatch(progress=Progress(iteration, 100))


def test_taps_by_role():
    distiller = Method(
        student=dict(neck=['neck[0]', 'neck[1]']), teacher='neck[0:2]')
    assert distiller.student_taps['logits'] is None
    assert distiller.student_taps['neck'] == [
        Tap.parse('neck[0]'), Tap.parse('neck[1]')
    ]
    assert distiller.teacher_taps == dict(neck=[Tap.parse('neck[0:2]')])


@pytest.mark.parametrize('kwargs, message', [
    (dict(student='neck'), 'several places.*logits, neck'),
    (dict(student=dict(head='x')), "no role 'head'"),
    (dict(teacher=dict(logits='x')), "no role 'logits'"),
    (dict(teacher=[]), 'lists no tap'),
    (dict(loss_weight=-1.), 'Method, loss_weight: a loss weight must'),
    (dict(weights=dict(a='x')), 'Method, the weight of a: a loss weight is'),
    (dict(weights=dict(loss_a=1.)), "no term 'loss_a'; .* keys a, b"),
])
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        Method(**kwargs)


def test_given_weights_replace_part_of_the_default_ones():
    distiller = Method(weights=dict(b=dict(value=5., begin=10)))
    assert list(distiller.weights) == ['a', 'b']
    assert distiller.term_weights(Progress(9)) == dict(a=2.)
    assert distiller.term_weights(Progress(10)) == dict(a=2., b=5.)


class Silent(Distiller):
    """A single term."""

    def losses(self, student, teacher, batch):
        return dict(loss=torch.ones(()))


def test_a_single_term_needs_no_declaration():
    assert Silent(loss_weight=3.)({}, {}, batch()) == dict(loss=3.)
    with pytest.raises(ConfigError, match="no term 'edge'"):
        Silent(weights=dict(edge=1.))


def test_terms_declared_by_weights(monkeypatch):
    """As in version 0.1."""

    class Old(Silent):

        def __init__(self, **kwargs):
            super().__init__(
                weights=dict(loss_edge=2., loss_body=1.), **kwargs)

        def losses(self, student, teacher, batch):
            return dict(loss_edge=torch.ones(()), loss_body=torch.ones(()))

    said = []
    monkeypatch.setattr('mmkd.core.distiller.warn_of_old_name', said.append)
    assert Old()({}, {}, batch()) == dict(loss_edge=2., loss_body=1.)
    assert len(said) == 1 and '`default_weights`' in said[0]


def test_weights_multiply():
    distiller = Method(loss_weight=dict(value=10., warmup=10))
    assert distiller.term_weights(Progress(0)) == {}
    assert distiller.term_weights(Progress(5)) == dict(a=10., b=15.)
    terms = distiller({}, {}, batch(10))
    total = distiller.own.weight.sum()
    torch.testing.assert_close(terms['a'], 20 * total)
    torch.testing.assert_close(terms['b'], 30 * total)


def test_inactive_term_is_an_attached_zero():
    distiller = Method(weights=dict(a=1., b=0.))
    terms = distiller({}, {}, batch())
    assert distiller.asked == [frozenset(['a'])]
    assert terms['b'] == 0 and terms['b'].requires_grad


def test_idle_losses_reach_every_own_parameter():
    distiller = Method()
    distiller.own.bias.requires_grad = False
    terms = distiller.idle_losses(torch.device('cpu'))
    assert set(terms) == {'a', 'b'} and not any(terms.values())
    sum(terms.values()).backward()
    # In the graph, and yet left alone by optimiser and clipping.
    assert distiller.own.weight.grad is None
    node = terms['a'].grad_fn
    reached = [f.variable for f, _ in node.next_functions if f is not None]
    assert len(reached) == 1 and reached[0] is distiller.own.weight


def test_terms_must_be_as_declared():
    distiller = Method()
    distiller.losses = lambda *args: dict(a=torch.ones(()))
    with pytest.raises(RuntimeError, match="active term 'b'"):
        distiller({}, {}, batch())
    distiller.losses = lambda *args: dict(
        a=torch.ones(()), b=torch.ones(()), c=torch.ones(()))
    message = r"returned 'c', .* terms \(a, b\) .*`figures`"
    with pytest.raises(RuntimeError, match=message):
        distiller({}, {}, batch())


def test_figures_are_neither_weighted_nor_in_the_graph():
    distiller = Method()
    one = torch.ones((), requires_grad=True)
    distiller.losses = lambda *args: dict(a=one, b=one, loss_of_sight=one)
    found = distiller({}, {}, batch())
    assert found['loss_of_sight'] == 1 and found['a'] == 2
    assert not found['loss_of_sight'].requires_grad


def test_levels_must_match():
    one, two = TapSpec('neck[0]', (1, 4, 2, 2)), TapSpec('x', (1, 4, 1, 1))
    with pytest.raises(ConfigError, match="'neck' has 2 level"):
        Method().setup(dict(neck=[one, two]), dict(neck=[one]))
    Method().setup(dict(neck=[one], logits=[two, two]), dict(neck=[two]))
