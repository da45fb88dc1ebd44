from types import SimpleNamespace

import torch
from torch import nn

from mmkd.core.network import build_network
from mmkd.engine.checks.classes import class_faults, classes_of
from mmkd.testing import detector, segmentor
from tests.fixtures.models import build


def data(*names):
    return SimpleNamespace(metainfo=dict(classes=names))


def test_classes_of():
    assert classes_of(data('a', 'b')) == ['a', 'b']
    assert classes_of(SimpleNamespace(metainfo={})) is None
    # mmdet's ConcatDataset of parts that differ in something else.
    parts = [dict(classes=('a', 'b'), task=1), dict(classes=('a', 'b'))]
    assert classes_of(SimpleNamespace(metainfo=parts)) == ['a', 'b']
    parts[1]['classes'] = ('a', )
    assert classes_of(SimpleNamespace(metainfo=parts)) is None
    assert classes_of(None) is None


def test_what_agrees():
    model = build_network(segmentor(num_classes=2), 'student')
    assert class_faults(
        model, dict(train=data('a', 'b'), val=data('a', 'b'),
                    test=None)) == []
    assert class_faults(nn.Conv2d(1, 1, 1), dict(train=data('a'))) == []
    assert class_faults(model, dict(train=None)) == []


def test_panoptic_classes():
    model = build_network(segmentor(num_classes=2), 'student')
    dataset = data('a', 'b', 'sky')
    dataset.metainfo['thing_classes'] = ['a', 'b']
    assert class_faults(model, dict(train=dataset)) == []


def test_splits_of_other_classes():
    model = build_network(segmentor(num_classes=2), 'student')
    (text,
     stops), = class_faults(model,
                            dict(train=data('a', 'b'), val=data('a', 'c')))
    assert stops and text.startswith(
        '`train_dataloader` and `val_dataloader` have other classes: '
        "'b' and 'c'")
    (text, _), = class_faults(model, dict(val=data('a', 'b'), test=data('a')))
    assert '2 and 1' in text


def test_splits_of_trackers():
    videos = data('a', 'b')
    videos.get_len_per_video = None
    faults = class_faults(
        nn.Conv2d(1, 1, 1), dict(train=data('a'), val=videos))
    assert [stops for _, stops in faults] == [False]
    faults = class_faults(
        nn.Conv2d(1, 1, 1), dict(train=data('b'), val=videos))
    assert [stops for _, stops in faults] == [True]


def test_every_head_is_named():
    model = build_network(segmentor(auxiliary=True), 'student')
    (text, stops), = class_faults(model, dict(train=data('a', 'b', 'c')))
    assert stops and '`model.decode_head` has num_classes=19' in text
    assert '`model.auxiliary_head` has num_classes=19' in text
    assert text.startswith("the data set has 3 classes ('a', 'b', 'c')")


def test_student_of_a_distillation():
    (text, _), = class_faults(build(), dict(train=data('a')))
    assert '`model.student.decode_head` has num_classes=19' in text


def test_teacher():
    names = list(map(str, range(19)))
    model = build(dict(kd=dict(type='LogitsKD')))
    model.teachers['teacher'].classes = ['street', *names[1:]]
    (text, stops), = class_faults(model, dict(train=data(*names)))
    assert stops and "other classes than the data set has: '0' here, " \
        "'street' there. Class scores cannot be compared; distil" in text
    model.teachers['teacher'].classes = [*names[1:], '0', 'more']
    (text, stops), = class_faults(model, dict(train=data(*names)))
    assert stops and text.endswith(
        f'keep these of the teacher: classes={names}')
    model = build()  # features do not care, but the user should know
    model.teachers['teacher'].classes = names[1:]
    (text, stops), = class_faults(model, dict(train=data(*names)))
    assert not stops and text.endswith("'0' here, '1' there")
    assert torch.is_grad_enabled()


def test_teacher_of_a_dense_head():
    names = ['a', 'b', 'c']
    model = build(
        dict(kd=dict(type='LogitsKD', place='dense_logits')),
        detector(),
        dict(teacher=dict(cfg=detector(8), ckpt='random')),
        dry_run_size=(64, 64))
    model.teachers['teacher'].classes = ['b', 'a', 'c']
    (text, stops), = class_faults(model, dict(train=data(*names)))
    assert stops and 'Class scores cannot be compared' in text
