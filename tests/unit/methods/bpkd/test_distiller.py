import pytest
import torch

from mmkd.errors import ConfigError
from mmkd.methods.bpkd.distiller import BPKD
from mmkd.methods.bpkd.losses import body_loss, edge_loss, edge_masks
from mmkd.ops.channel_wise import channel_wise_divergence

GOLDEN_LABELS = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 255, 255]]
GOLDEN_T = [[[2., 1.], [3., 0.]], [[0., 2.], [-1., 1.]], [[1., 0.], [0., -1.]]]
GOLDEN_S = [[[1., 1.], [2., 0.]], [[0., 1.], [0., 1.]], [[0., 0.], [1., 0.]]]


def unweighted(**kwargs):
    """BPKD whose terms come out as they are."""
    return BPKD(weights=dict(edge=1.0, body=1.0), **kwargs)


@pytest.mark.parametrize('tau, edge, body', [(1.0, 0.0626603, 0.1540083),
                                             (4.0, 0.0715857, 0.1510255)])
def test_golden_vector(harness, tau, edge, body):
    # In float64: float32 is off by 2e-6 at tau 4.
    student, teacher = (
        torch.tensor([x], dtype=torch.float64) for x in (GOLDEN_S, GOLDEN_T))
    labels = torch.tensor([GOLDEN_LABELS])
    distiller = BPKD(edge_tau=tau, body_tau=tau, edge_width=3)
    losses = harness.run(distiller, [student], [teacher], labels)
    assert losses['edge'].item() == pytest.approx(50 * edge, abs=5e-6)
    assert losses['body'].item() == pytest.approx(20 * body, abs=2e-6)


def test_is_its_losses(harness, tensors, labels):
    student, teacher = tensors(2, 6, 4, 5)
    distiller = unweighted(
        edge_tau=2.0,
        body_tau=3.0,
        edge_class_weights=[1., 2., 3., 4., 5., 6.],
        edge_width=5)
    losses = harness.run(distiller, [student], [teacher], labels)
    masks, valid = edge_masks(labels, 6, (4, 5), 5)
    assert not valid.all()
    assert torch.equal(
        losses['edge'],
        edge_loss(student, teacher, masks, valid, 2.0,
                  [1., 2., 3., 4., 5., 6.]))
    assert torch.equal(losses['body'],
                       body_loss(student, teacher, masks, valid, 3.0))


def test_default_weights(harness, tensors, labels):
    student, teacher = tensors(2, 6, 4, 5)
    plain = harness.run(unweighted(), [student], [teacher], labels)
    losses = harness.run(BPKD(), [student], [teacher], labels)
    assert torch.allclose(losses['edge'], 50 * plain['edge'])
    assert torch.allclose(losses['body'], 20 * plain['body'])
    halved = harness.run(BPKD(loss_weight=0.5), [student], [teacher], labels)
    assert torch.allclose(halved['body'], 10 * plain['body'])


@pytest.mark.parametrize('term', ['edge', 'body'])
def test_weight_zero_leaves_a_term_out(harness, tensors, labels, monkeypatch,
                                       term):

    def fail(*args):
        raise AssertionError('computed for nothing')

    monkeypatch.setattr(f'mmkd.methods.bpkd.distiller.{term}_loss', fail)
    student, teacher = tensors(2, 6, 4, 5)
    losses = harness.run(
        BPKD(weights={term: 0.}), [student], [teacher], labels)
    assert losses.pop(term).item() == 0
    assert next(iter(losses.values())) > 0


def test_switches_reach_the_losses(harness, tensors, labels):
    student, teacher = tensors(2, 6, 4, 5)

    def losses(**kwargs):
        values = harness.run(
            unweighted(**kwargs), [student], [teacher], labels)
        return values['edge'].item(), values['body'].item()

    edge, body = losses()
    for option in (dict(use_prm=False), dict(use_pom=False),
                   dict(edge_class_weights=1.0)):
        other_edge, other_body = losses(**option)
        assert other_edge != edge and other_body == body, option
    other_edge, other_body = losses(body_on_ignored=True)
    assert other_edge == edge and other_body != body
    for option in (dict(ignore_as_edge=True), dict(edge_width=3),
                   dict(valid_threshold=1.0)):
        other_edge, other_body = losses(**option)
        assert other_edge != edge and other_body != body, option
    assert losses(edge_class_weights=[2.0] * 6) == pytest.approx((edge, body))
    changed = torch.where(labels == 255, 77, labels)
    other = harness.run(
        unweighted(ignore_index=77), [student], [teacher], changed)
    assert other['edge'].item() == edge


def test_literal_reading_without_edges(harness, tensors):
    # Everything in the body, ignored pixels too: plain CWD.
    student, teacher = tensors(2, 6, 4, 5)
    labels = torch.full((2, 32, 40), 2)
    labels[:, :16] = 255
    losses = harness.run(
        unweighted(body_on_ignored=True), [student], [teacher], labels)
    assert losses['edge'].item() == 0
    assert torch.equal(losses['body'],
                       channel_wise_divergence(student, teacher))


def test_batch_is_mean_of_singles(harness, tensors, labels):
    student, teacher = tensors(2, 6, 4, 5)
    both = harness.run(BPKD(), [student], [teacher], labels)
    singles = [
        harness.run(BPKD(), [student[i:i + 1]], [teacher[i:i + 1]],
                    labels[i:i + 1]) for i in range(2)
    ]
    for term, loss in both.items():
        assert torch.allclose(loss, sum(s[term] for s in singles) / 2)


@pytest.mark.parametrize('align_corners', [False, True])
def test_teacher_of_another_size(harness, tensors, labels, align_corners):
    student, teacher = tensors(2, 6, 4, 5, teacher_shape=(2, 6, 8, 10))
    losses = harness.run(
        BPKD(align_corners=align_corners), [student], [teacher], labels)
    resized = torch.nn.functional.interpolate(
        teacher, (4, 5), mode='bilinear', align_corners=align_corners)
    expected = harness.run(BPKD(), [student], [resized], labels)
    assert losses == expected


def test_label_out_of_range(harness, tensors, labels):
    student, teacher = tensors(2, 5, 4, 5)
    labels[0, 20, 20] = 5
    with pytest.raises(ValueError, match=r'label \[5\].*5 classes'):
        harness.run(BPKD(), [student], [teacher], labels)


def test_needs_labels(harness, tensors):
    student, teacher = tensors(2, 6, 4, 5)
    with pytest.raises(ConfigError, match='gt_sem_seg'):
        harness.run(BPKD(), [student], [teacher])


def test_other_classes_are_refused(harness, tensors, labels):
    student, teacher = tensors(2, 6, 4, 5, teacher_shape=(2, 7, 4, 5))
    with pytest.raises(ConfigError, match='6 channels .* 7 .*same classes'):
        harness.run(BPKD(), [student], [teacher], labels)


def test_wrong_taps_are_refused(harness, tensors):
    student, teacher = tensors(2, 6, 4, 5)
    with pytest.raises(ConfigError, match='one map'):
        harness.set_up(BPKD(), [student] * 2, [teacher] * 2)
    with pytest.raises(ConfigError, match='level'):
        harness.set_up(BPKD(), [student], [teacher] * 2)
    with pytest.raises(ConfigError, match='maps'):
        harness.set_up(BPKD(), [student[0]], [teacher[0]])
    with pytest.raises(ConfigError, match='edge_class_weights'):
        harness.set_up(BPKD(edge_class_weights=[1., 2.]), [student], [teacher])


@pytest.mark.parametrize('arguments, message', [
    (dict(edge_width=4), 'edge_width'),
    (dict(edge_width=1), 'edge_width'),
    (dict(edge_width=7.0), 'edge_width'),
    (dict(edge_tau=0), 'edge_tau'),
    (dict(body_tau='4'), 'body_tau'),
    (dict(valid_threshold=1.5), 'valid_threshold'),
    (dict(edge_class_weights='two'), 'edge_class_weights'),
    (dict(weights=dict(edge='high')), 'the weight of edge'),
    (dict(weights=dict(edges=1.)), "no term 'edges'.*edge, body"),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        BPKD(**arguments)
