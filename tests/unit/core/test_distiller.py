import pytest
import torch
from torch import nn

from mmkd.core.distiller import Distiller, StepBatch
from mmkd.core.schedule import Progress
from mmkd.core.taps.tap import Tap, TapSpec
from mmkd.errors import ConfigError
from mmkd.testing import detection_batch, segmentation_batch


class Method(Distiller):
    """Two terms, and a parameter of its own."""
    roles = ('logits', 'neck')
    teacher_roles = ('neck', )

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.own = nn.Linear(2, 2)
        self.asked = []

    def losses(self, student, teacher, batch):
        self.asked.append(batch.active_terms)
        value = self.own.weight.sum()
        return {term: value for term in batch.active_terms}


def method(**kwargs):
    kwargs.setdefault('weights', dict(loss_a=2., loss_b=3.))
    return Method(**kwargs)


def batch(iteration=0):
    return StepBatch(progress=Progress(iteration, 100))


def test_taps_by_role():
    distiller = method(
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
    (dict(weights=dict(loss_a='x')),
     'Method, the weight of loss_a: a loss weight is'),
])
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        method(**kwargs)


def test_terms_are_summed_by_name():
    with pytest.raises(ValueError, match="must begin with 'loss'"):
        method(weights=dict(edge=1.))


def test_weights_multiply():
    distiller = method(loss_weight=dict(value=10., warmup=10))
    assert distiller.term_weights(Progress(0)) == {}
    assert distiller.term_weights(Progress(5)) == dict(loss_a=10., loss_b=15.)
    terms = distiller({}, {}, batch(10))
    total = distiller.own.weight.sum()
    torch.testing.assert_close(terms['loss_a'], 20 * total)
    torch.testing.assert_close(terms['loss_b'], 30 * total)


def test_inactive_term_is_an_attached_zero():
    distiller = method(weights=dict(loss_a=1., loss_b=0.))
    terms = distiller({}, {}, batch())
    assert distiller.asked == [frozenset(['loss_a'])]
    assert terms['loss_b'] == 0 and terms['loss_b'].requires_grad


def test_idle_losses_reach_every_own_parameter():
    distiller = method()
    distiller.own.bias.requires_grad = False
    terms = distiller.idle_losses(torch.device('cpu'))
    assert set(terms) == {'loss_a', 'loss_b'} and not any(terms.values())
    sum(terms.values()).backward()
    # In the graph, and yet left alone by optimiser and clipping.
    assert distiller.own.weight.grad is None
    node = terms['loss_a'].grad_fn
    reached = [f.variable for f, _ in node.next_functions if f is not None]
    assert len(reached) == 1 and reached[0] is distiller.own.weight


def test_terms_must_be_as_declared():
    distiller = method()
    distiller.losses = lambda *args: dict(loss_a=torch.ones(()))
    with pytest.raises(RuntimeError, match='must return the terms loss_a'):
        distiller({}, {}, batch())
    distiller.losses = lambda *args: dict(
        loss_a=torch.ones(()), loss_b=torch.ones(()), loss_c=torch.ones(()))
    with pytest.raises(RuntimeError, match='loss_c'):
        distiller({}, {}, batch())


def test_levels_must_match():
    one, two = TapSpec('neck[0]', (1, 4, 2, 2)), TapSpec('x', (1, 4, 1, 1))
    with pytest.raises(ConfigError, match="'neck' has 2 level"):
        method().setup(dict(neck=[one, two]), dict(neck=[one]))
    method().setup(dict(neck=[one], logits=[two, two]), dict(neck=[two]))


def test_labels():
    raw = segmentation_batch(3)
    step = StepBatch(data_samples=raw['data_samples'])
    assert step.labels.shape == (3, 32, 64)
    assert step.labels.dtype == torch.long
    assert step.gt_sem_seg() is step.labels
    assert step.for_terms(frozenset('a')).labels is step.labels
    # Whoever asks first stacks them, for all.
    step = StepBatch(data_samples=raw['data_samples'])
    assert step.for_terms(frozenset('a')).labels is step.labels
    with pytest.raises(ConfigError, match='semantic segmentation only'):
        StepBatch(data_samples=detection_batch()['data_samples']).labels
