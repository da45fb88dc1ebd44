import pytest
import torch

from mmkd.core.batch import StepBatch
from mmkd.core.schedule import Progress
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.logits_kd.distiller import LogitsKD
from mmkd.methods.logits_kd.losses import (DIVERGENCES, cell_classes,
                                           class_score_losses)
from mmkd.ops.divergences import class_divergence, kl_divergence
from mmkd.ops.masks import labelled_cells


@pytest.mark.parametrize('tau', [1.0, 4.0])
def test_is_its_loss(harness, tensors, tau):
    student, teacher = tensors(2, 6, 4, 5)
    losses = harness.run(LogitsKD(tau=tau), [student], [teacher])
    assert list(losses) == ['loss']
    assert torch.equal(losses['loss'], kl_divergence(student, teacher, tau))


def test_stored_number(harness):
    teacher = torch.tensor([[[[2., 1.], [3., 0.]], [[0., 2.], [-1., 1.]],
                             [[1., 0.], [0., -1.]]]])
    student = torch.tensor([[[[1., 1.], [2., 0.]], [[0., 1.], [0., 1.]],
                             [[0., 0.], [1., 0.]]]])
    losses = harness.run(LogitsKD(loss_weight=2.0), [student], [teacher])
    assert losses['loss'].item() == pytest.approx(2 * 0.1103618, abs=1e-6)


def test_levels_are_summed(harness, tensors):
    student, teacher = tensors(2, 6, 4, 5)
    one = harness.run(LogitsKD(), [student], [teacher])['loss']
    two = harness.run(LogitsKD(), [student] * 2, [teacher] * 2)['loss']
    assert torch.equal(two, 2 * one)


def test_valid_only(harness, tensors, labels):
    student, teacher = tensors(2, 6, 4, 5)
    losses = harness.run(
        LogitsKD(valid_only=True), [student], [teacher], labels)
    valid = labelled_cells(labels, (4, 5))
    assert not valid.all()
    assert torch.equal(losses['loss'],
                       kl_divergence(student, teacher, 1.0, valid))
    ignored = harness.run(
        LogitsKD(valid_only=True), [student], [teacher],
        torch.full_like(labels, 255))['loss']
    ignored.backward()
    assert ignored.item() == 0
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_teacher_of_another_size(harness, tensors):
    student, teacher = tensors(2, 6, 4, 5, teacher_shape=(2, 6, 8, 10))
    resized = torch.nn.functional.interpolate(
        teacher, (4, 5), mode='bilinear', align_corners=False)
    losses = harness.run(LogitsKD(), [student], [teacher])
    assert losses == harness.run(LogitsKD(), [student], [resized])


def test_refusals(harness, tensors):
    student, teacher = tensors(2, 6, 4, 5, teacher_shape=(2, 7, 4, 5))
    with pytest.raises(ConfigError, match='6 channels .* 7 .*same classes'):
        harness.set_up(LogitsKD(), [student], [teacher])
    with pytest.raises(ConfigError, match='tau'):
        LogitsKD(tau=-1)


@pytest.mark.parametrize('name', DIVERGENCES)
def test_divergences(harness, tensors, labels, name):
    student, teacher = tensors(2, 6, 4, 5)
    chosen = DIVERGENCES[name]
    classes, known = cell_classes(labels, (4, 5), 6, 255)
    expected = class_score_losses(name, student, teacher, chosen.tau,
                                  known if chosen.needs_labels else None,
                                  classes)
    distiller = LogitsKD(divergence=name, loss_weight=2.)
    losses = harness.run(distiller, [student] * 2, [teacher] * 2, labels)
    assert list(losses) == list(chosen.weights)
    for term, weight in chosen.weights.items():
        assert losses[term].item() == pytest.approx(
            4 * weight * expected[term].item(), rel=1e-6)


def test_cells_need_a_label_and_most_of_their_pixels(harness, tensors, labels):
    student, teacher = tensors(2, 6, 4, 5)
    classes, known = cell_classes(labels, (4, 5), 6, 255)
    valid = known & labelled_cells(labels, (4, 5))
    losses = harness.run(
        LogitsKD(divergence='dkd', tau=2., valid_only=True), [student],
        [teacher], labels)
    assert losses == class_score_losses('dkd', student, teacher, 2., valid,
                                        classes)


def test_options_of_a_divergence(harness, tensors):
    student, teacher = tensors(2, 6, 4, 5)
    losses = harness.run(
        LogitsKD(divergence=dict(type='balanced', nu=3.)), [student],
        [teacher])
    assert losses == class_score_losses(
        'balanced', student, teacher, 1., nu=3.)


def test_dense_logits(harness, tensors):
    student, teacher = tensors(2, 6, 4, 5)
    distiller = LogitsKD(place='dense_logits', divergence='dist')
    losses = harness.run(
        distiller, [student] * 2, [teacher] * 2, role='dense_logits')
    expected = class_score_losses('dist', student, teacher, 1., sigmoid=True)
    assert losses == {term: 2 * x for term, x in expected.items()}
    visual, _ = distiller.visuals(
        dict(dense_logits=[student] * 2), dict(dense_logits=[teacher] * 2),
        harness.batch_of([]))
    assert visual.values.shape == (2, 4, 5)


def test_standardised_logits(harness, tensors):
    student, teacher = tensors(2, 6, 4, 5)
    distiller = LogitsKD(standardise=True, tau=2., loss_weight=9.)
    losses = harness.run(distiller, [student], [teacher])
    again = harness.run(distiller, [3 * student + 1], [teacher - 2])
    assert losses['loss'].item() == pytest.approx(
        again['loss'].item(), rel=1e-4)


@pytest.mark.parametrize('options, num_classes, message', [
    (dict(divergence='js'), 6, 'kl, dist, .*, but got .js.'),
    (dict(divergence=dict(type='balanced', eps=2.)), 6, 'no option .eps.*nu'),
    (dict(divergence=dict(type='sinkhorn', eps=0)), 6, 'eps of .sinkhorn.'),
    (dict(divergence=dict(nu=2.)), 6, 'got None'),
    (dict(), 1, r"1 class.*divergence='binary'"),
    (dict(divergence=dict(type='dist', anchors=4)), 6, 'of 4 anchors'),
    (dict(divergence='dist'), 2, r'weights=dict\(inter=0\)'),
    (dict(standardise=True), 2, 'standardise=False'),
    (dict(divergence='dkd', weights=dict(inter=1.)), 6, 'target, non_target'),
])
def test_refused_divergences(harness, tensors, options, num_classes, message):
    student, teacher = tensors(2, num_classes, 4, 5)
    with pytest.raises(ConfigError, match=message):
        harness.set_up(LogitsKD(**options), [student], [teacher])


def test_divergences_of_few_classes(harness, tensors):
    student, teacher = tensors(2, 1, 4, 5)
    assert harness.run(LogitsKD(divergence='binary'), [student],
                       [teacher])['loss'] > 0
    student, teacher = tensors(2, 2, 4, 5)
    losses = harness.run(
        LogitsKD(divergence='dist', weights=dict(inter=0.)), [student],
        [teacher])
    assert losses['intra'] > 0 and losses['inter'] == 0


def test_target_between_both_networks(harness, tensors):
    """The student's own logits are part of it, without gradient."""
    student, teacher = tensors(2, 6, 4, 5)
    losses = harness.run(LogitsKD(teacher_share=0.25), [student], [teacher])
    target = 0.75 * student.detach() + 0.25 * teacher
    wanted = kl_divergence(student, target)
    assert losses['loss'].item() == pytest.approx(wanted.item(), rel=1e-5)
    torch.testing.assert_close(*(torch.autograd.grad(x, student)[0]
                                 for x in (losses['loss'], wanted)))
    # It begins with the student, whose distance from itself is 0.
    schedule = dict(value=0., final=1., decay='linear', end=10)
    distiller = LogitsKD(teacher_share=schedule)
    harness.set_up(distiller, [student], [teacher])
    values = [
        distiller.losses(
            dict(logits=[student]), dict(logits=[teacher]),
            StepBatch(progress=Progress(i, 10)))['loss'] for i in (0, 5, 10)
    ]
    assert values[0] < 1e-6 < values[1] < values[2]
    assert values[2].item() == pytest.approx(
        kl_divergence(student, teacher).item())


def test_aux_head(harness, tensors):
    """A classifier of the student's features gets the loss."""
    student, teacher = tensors(2, 3, 4, 5, teacher_shape=(2, 6, 4, 5))
    distiller = LogitsKD(aux_head=True, divergence='binary_norm')
    distiller.setup(
        dict(classifier_input=[TapSpec('x', (2, 3, 4, 5))]),
        dict(logits=[TapSpec('y', (2, 6, 4, 5))]))
    losses = distiller(
        dict(classifier_input=[student]), dict(logits=[teacher]), StepBatch())
    scores = distiller.aux_head(student)
    assert losses == class_score_losses('binary_norm', scores, teacher, 2.)
    losses['loss'].backward()
    assert student.grad.any()
    assert all(p.grad.any() for p in distiller.parameters())


def test_reductions_and_weights(harness, tensors, labels):
    student, teacher = tensors(2, 6, 4, 5)
    by_row = harness.run(
        LogitsKD(reduction='row', valid_only=True), [student], [teacher],
        labels)['loss']
    valid = labelled_cells(labels, (4, 5))
    cells = class_divergence(student, teacher, 1.)
    assert by_row.item() == pytest.approx(cells[valid].mean().item())
    weighted = harness.run(
        LogitsKD(cell_weights=lambda *_: torch.tensor([1., 3.])), [student],
        [teacher])['loss']
    first, second = (
        kl_divergence(student[i:i + 1], teacher[i:i + 1]) for i in range(2))
    assert weighted.item() == pytest.approx(
        ((first + 3 * second) / 2).item(), rel=1e-6)
    for shape in ((2, 4, 5), (2, 6, 4, 5)):
        with pytest.raises(ConfigError, match='for images or .* for cells'):
            harness.run(
                LogitsKD(cell_weights=lambda *_, x=shape: torch.ones(x)),
                [student], [teacher])
