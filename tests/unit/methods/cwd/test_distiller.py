import pytest
import torch
from torch import nn

from mmkd.core.schedule import Progress
from mmkd.errors import ConfigError
from mmkd.methods.cwd.distiller import CWD
from mmkd.ops.channel_wise import channel_wise_divergence
from mmkd.ops.masks import labelled_cells


@pytest.mark.parametrize('tau', [1.0, 4.0])
def test_logits(harness, tensors, tau):
    student, teacher = tensors(2, 6, 4, 5)
    losses = harness.run(CWD(tau=tau), [student], [teacher])
    assert torch.equal(losses['loss'],
                       3 * channel_wise_divergence(student, teacher, tau))


def test_stored_number(harness):
    teacher = torch.tensor([[[[2., 1.], [3., 0.]], [[0., 2.], [-1., 1.]],
                             [[1., 0.], [0., -1.]]]])
    student = torch.tensor([[[[1., 1.], [2., 0.]], [[0., 1.], [0., 1.]],
                             [[0., 0.], [1., 0.]]]])
    losses = harness.run(CWD(loss_weight=1.0), [student], [teacher])
    assert losses['loss'].item() == pytest.approx(0.2414688, abs=1e-6)


def test_defaults():
    for place, weight in (('logits', 3.0), ('stages', 50.0), ('neck', 50.0)):
        distiller = CWD(place=place)
        assert distiller.tau == 4.0
        assert distiller.term_weights(Progress()) == dict(loss=weight)
        assert list(distiller.student_taps) == [place]
    assert CWD(loss_weight=0).term_weights(Progress()) == {}


def test_features_of_several_levels(harness, tensors):
    student_1, teacher_1 = tensors(2, 4, 8, 8, teacher_shape=(2, 6, 8, 8))
    student_2, teacher_2 = tensors(2, 5, 4, 4, seed=1)
    distiller = CWD(place='stages', student='x', teacher='y', loss_weight=1.0)
    losses = harness.run(
        distiller, [student_1, student_2], [teacher_1, teacher_2],
        role='stages')
    projection, identity = distiller.connectors
    assert isinstance(identity, nn.Identity)
    assert torch.allclose(
        losses['loss'],
        channel_wise_divergence(projection(student_1), teacher_1, 4.0) +
        channel_wise_divergence(student_2, teacher_2, 4.0))
    losses['loss'].backward()
    assert all(p.grad is not None and p.grad.isfinite().all()
               for p in distiller.parameters())
    assert student_1.grad.abs().sum() > 0 and student_2.grad.abs().sum() > 0


def test_the_last_stage_by_default(harness, tensors):
    """Of a backbone; each level of a neck sees objects of its own size."""
    student_1, teacher_1 = tensors(2, 4, 8, 8)
    student_2, teacher_2 = tensors(2, 5, 4, 4, seed=1)
    first, last = (
        channel_wise_divergence(*maps, 4.0)
        for maps in ((student_1, teacher_1), (student_2, teacher_2)))
    for place, expected in (('stages', last), ('neck', first + last)):
        distiller = CWD(place=place, loss_weight=1.0)
        losses = harness.run(
            distiller, [student_1, student_2], [teacher_1, teacher_2],
            role=place)
        assert torch.allclose(losses['loss'], expected)
    # The networks may have different numbers of stages.
    losses = harness.run(
        CWD(place='stages', loss_weight=1.0), [student_1, student_2],
        [teacher_2],
        role='stages')
    assert torch.allclose(losses['loss'], last)


def test_connector(harness, tensors):
    student, teacher = tensors(2, 4, 8, 8)
    distiller = CWD(
        place='neck',
        connector=dict(
            type='ConvConnector', kernel_size=3, norm_cfg=dict(type='BN')))
    harness.run(distiller, [student], [teacher], role='neck')
    assert distiller.connectors[0].conv.kernel_size == (3, 3)
    student, teacher = tensors(2, 4, 8, 8, teacher_shape=(2, 6, 8, 8))
    with pytest.raises(ConfigError, match='connector'):
        harness.set_up(
            CWD(place='neck', connector=None), [student], [teacher], 'neck')


def test_teacher_of_another_size(harness, tensors):
    student, teacher = tensors(2, 6, 4, 5, teacher_shape=(2, 6, 8, 10))
    resized = torch.nn.functional.interpolate(
        teacher, (4, 5), mode='bilinear', align_corners=True)
    losses = harness.run(CWD(align_corners=True), [student], [teacher])
    assert losses == harness.run(CWD(), [student], [resized])


def test_valid_only(harness, tensors, labels):
    student, teacher = tensors(2, 6, 4, 5)
    losses = harness.run(
        CWD(valid_only=True, loss_weight=1.0), [student], [teacher], labels)
    valid = labelled_cells(labels, (4, 5))
    assert not valid.all()
    assert torch.equal(losses['loss'],
                       channel_wise_divergence(student, teacher, 4.0, valid))
    ignored = harness.run(
        CWD(valid_only=True), [student], [teacher],
        torch.full_like(labels, 255))['loss']
    ignored.backward()
    assert ignored.item() == 0
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_other_classes_are_refused(harness, tensors):
    student, teacher = tensors(2, 6, 4, 5, teacher_shape=(2, 7, 4, 5))
    with pytest.raises(ConfigError, match="place='stages'"):
        harness.set_up(CWD(), [student], [teacher])


@pytest.mark.parametrize('arguments, message', [
    (dict(place='head'), 'place'),
    (dict(tau=0), 'tau'),
    (dict(connector=dict(type='ConvConnector')), 'connector'),
    (dict(student=dict(neck='neck')), 'role'),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        CWD(**arguments)
