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


def test_teachers_are_balanced_with_each_other():
    torch.manual_seed(0)
    model = DistillationModel(
        segmentor(4),
        dict(
            one=dict(cfg=segmentor(8), ckpt='random'),
            two=dict(cfg=segmentor(12), ckpt='random')),
        dict(
            one=dict(
                type='FeatureKD',
                preset='dsi',
                teacher='one:backbone[-1]',
                loss_weight=dict(type='auto', interval=1, iters=2)),
            two=dict(
                type='FeatureKD',
                teacher='two:backbone[-1]',
                standardise='phi',
                calibration=2,
                loss_weight=dict(type='auto', interval=1))),
        dry_run_size=(64, 64),
        label_free=True)
    model.init_weights()
    wrapper = OptimWrapper(
        torch.optim.SGD((p for p in model.parameters() if p.requires_grad),
                        lr=0.1))
    logs = [
        model.train().train_step(
            segmentation_batch(2, size=(64, 64), seed=i), wrapper)
        for i in range(4)
    ]
    weights = logs[0]['one.weight'], logs[0]['two.weight']
    assert weights[0] != 1 and weights[0] * weights[1] == pytest.approx(1)
    assert logs[2]['one.weight'] == logs[3]['one.weight']  # held


def test_images_keep_their_size():
    """They are not padded to the crop of the student's own training."""
    student = segmentor()
    student['data_preprocessor'] = dict(
        student.get('data_preprocessor') or dict(type='SegDataPreProcessor'),
        size=(128, 128))
    model = DistillationModel(
        student,
        dict(teacher=dict(cfg=segmentor(), ckpt='random')),
        dict(kd=dict(type='CWD', student='backbone', teacher='backbone')),
        dry_run_size=(64, 64),
        label_free=True)
    data = model.data_preprocessor(segmentation_batch(2, (32, 64)), True)
    assert data['inputs'].shape == (2, 3, 32, 64)


def test_validation_keeps_the_order_of_images():
    """Several processes cut off the last ones, which fill up the data set."""
    model, _ = build('segmentor')
    model.eval()
    data = segmentation_batch(5, size=(64, 64))
    labels = [3, None, 1, None, 2]
    for sample, label in zip(data['data_samples'], labels):
        sample.set_metainfo(dict(labelled=label is not None, label=label))
    found = model.val_step(data)
    assert [x['label'] for x in found] == labels
    for i in range(5):
        alone = model.val_step({
            key: value[i:i + 1]
            for key, value in data.items()
        })
        for mine, other in zip(alone[0]['embeddings']['kd'],
                               found[i]['embeddings']['kd']):
            assert mine == pytest.approx(other, abs=1e-5)


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


@pytest.mark.parametrize(
    'options', [dict(label_free=True),
                dict(unlabelled_norm='update')])
@pytest.mark.parametrize('reader', ["mode='loss'", 'LabelAssistedSegmentor'])
def test_a_teacher_that_reads_labels(options, reader):
    teacher = segmentor()
    if reader == 'LabelAssistedSegmentor':
        teacher['model']['type'] = 'mmkd.LabelAssistedSegmentor'
    with pytest.raises(ConfigError, match=f"teacher 'one': {reader} reads"):
        DistillationModel(
            segmentor(),
            dict(
                one=dict(
                    cfg=teacher,
                    ckpt='random',
                    mode='tensor' if reader ==
                    'LabelAssistedSegmentor' else 'loss')),
            dict(kd=dict(type='CWD', student='backbone', teacher='backbone')),
            dry_run_size=(64, 64),
            **options)
