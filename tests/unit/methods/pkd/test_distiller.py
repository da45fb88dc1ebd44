import pytest
import torch

from mmkd.core.batch import StepBatch
from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.methods.pkd.distiller import PKD
from mmkd.testing import detector
from mmkd.testing.networks import two_stage_detector


def run(harness, student, teacher, **arguments):
    distiller = harness.set_up(
        PKD(**{
            'loss_weight': 1.0,
            **arguments
        }), student, teacher, 'pyramid')
    return distiller(
        dict(pyramid=student), dict(pyramid=teacher), StepBatch())['loss']


def test_levels_are_summed_and_weighted(harness):
    feat_s = torch.tensor([[[1., 2, 3, 4]], [[4, 3, 2,
                                              1]]]).reshape(1, 2, 2, 2)
    feat_t = torch.tensor([2., 1, 4, 3] * 2).reshape(1, 2, 2, 2)
    loss = run(harness, [feat_s], [feat_t], loss_weight=6.0)
    assert loss.item() == pytest.approx(4.499993029, rel=1e-6)
    twice = run(harness, [feat_s] * 2, [feat_t] * 2, loss_weight=6.0)
    assert twice.item() == pytest.approx(2 * loss.item())


def test_resize(harness):
    feat_s = torch.tensor([0., 4]).reshape(1, 1, 1, 2)
    feat_t = torch.tensor([0., 1, 2, 3, 1, 0, 5, 2]).reshape(1, 1, 2, 4)
    loss = run(harness, [feat_s], [feat_t])
    assert loss.item() == pytest.approx(0.254696834, rel=1e-6)
    # The other way round, two positions of the same order correlate fully.
    assert run(harness, [feat_s], [feat_t], resize_student=False).item() < 1e-6


def test_gradients(harness, tensors):
    student, teacher = tensors(2, 4, 8, 6)
    teacher.requires_grad_()
    run(harness, [student], [teacher]).backward()
    assert teacher.grad is None
    sums = student.grad.sum(dim=(0, 2, 3))
    assert torch.allclose(sums, torch.zeros(4), atol=1e-6)
    along = (student.grad * student).sum(dim=(0, 2, 3))
    assert torch.allclose(along, torch.zeros(4), atol=1e-6)
    assert student.grad.abs().sum() > 0


def test_unlike_channels(harness, tensors):
    student, teacher = tensors(2, 4, 8, 6, teacher_shape=(2, 6, 8, 6))
    with pytest.raises(ConfigError, match='4 channels.* teacher 6'):
        run(harness, [student], [teacher])
    run(harness, [student], [teacher], connector='auto').backward()
    assert student.grad.abs().sum() > 0


@pytest.mark.parametrize('value', [-1, 'small', None])
def test_wrong_min_std(value):
    with pytest.raises(ConfigError, match='min_std'):
        PKD(min_std=value)


@pytest.mark.parametrize('network, weight', [
    (detector, 10.0),
    (two_stage_detector, 6.0),
])
def test_weight_of_the_student(network, weight):
    model = DistillationModel(
        network(4), dict(teacher=dict(cfg=network(4), ckpt='random')),
        dict(pkd=dict(type='PKD'), own=dict(type='PKD', loss_weight=2.0)),
        (64, 64))
    assert model.distillers['pkd'].peak_weights() == dict(loss=weight)
    assert model.distillers['own'].peak_weights() == dict(loss=2.0)
