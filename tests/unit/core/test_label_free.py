import copy

import pytest
import torch
from mmengine.optim import OptimWrapper

from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor)

PAIRS = dict(
    detector=(detector, 'neck', detection_batch),
    segmentor=(segmentor, 'backbone', segmentation_batch))


def build(kind, **distiller):
    make, tap, batch = PAIRS[kind]
    torch.manual_seed(0)
    model = DistillationModel(
        make(),
        dict(teacher=dict(cfg=make(), ckpt='random')),
        dict(kd=dict(type='CWD', student=tap, teacher=tap, **distiller)),
        dry_run_size=(64, 64),
        label_free=True).train()
    data = batch(2, size=(64, 64))
    for sample in data['data_samples']:
        for key in ('gt_sem_seg', 'gt_instances'):
            if key in sample:
                delattr(sample, key)
    return model, data


@pytest.mark.parametrize('kind', PAIRS)
def test_only_what_a_tap_depends_on_trains(kind, monkeypatch):
    model, data = build(kind)
    head = model.student.bbox_head if kind == 'detector' else \
        model.student.decode_head

    def forbidden(*args, **kwargs):
        raise AssertionError('the head ran')

    monkeypatch.setattr(type(head), 'forward', forbidden)
    before = copy.deepcopy(model.student.state_dict())
    wrapper = OptimWrapper(
        torch.optim.SGD((p for p in model.parameters() if p.requires_grad),
                        lr=0.1,
                        weight_decay=0.1))
    log = model.train_step(data, wrapper)
    assert set(log) == {'loss', 'kd.loss'} and log['loss'] > 0
    trained = {
        key.split('.')[0]
        for key, value in model.student.state_dict().items()
        if not value.equal(before[key])
    }
    assert trained == ({'backbone', 'neck'}
                       if kind == 'detector' else {'backbone'})
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    losses['kd.loss'].backward()
    assert all(p.grad is not None for p in model.parameters()
               if p.requires_grad)
    assert not any(p.requires_grad for p in head.parameters())


def test_the_task_loss_is_not_there_to_balance_with():
    with pytest.raises(ConfigError, match="loss_weight='auto' compares with"):
        build('detector', loss_weight='auto')


def test_a_student_that_cannot_train():
    student = detector()
    student['model']['backbone'].update(frozen_stages=4)
    with pytest.raises(ConfigError, match='frozen_stages'):
        DistillationModel(
            student,
            dict(teacher=dict(cfg=detector(), ckpt='random')),
            dict(kd=dict(type='CWD', student='backbone', teacher='backbone')),
            dry_run_size=(64, 64),
            label_free=True)
