import pytest
import torch

from mmkd.errors import ConfigError
from mmkd.methods.logits_kd.distiller import LogitsKD
from mmkd.ops.divergences import kl_divergence
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
