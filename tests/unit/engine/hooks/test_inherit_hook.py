import copy
from types import SimpleNamespace

import pytest
import torch

from mmkd import apis
from mmkd.core.model import DistillationModel
from mmkd.engine.hooks import InheritTeacherHook
from mmkd.errors import ConfigError
from mmkd.registry import HOOKS
from mmkd.testing import (detector, distillation_config, segmentation_config,
                          segmentor)


def build(student=None, teacher=None, **teachers):
    teachers = {
        name: dict(cfg=cfg, ckpt='random')
        for name, cfg in (
            teachers or dict(teacher=teacher or detector(8))).items()
    }
    return DistillationModel(
        student or detector(4), teachers, {}, dry_run_size=(64, 64))


def run(model, **kwargs):
    hook = InheritTeacherHook(**kwargs)
    hook.before_train(SimpleNamespace(model=model, iter=0, _has_loaded=False))
    return hook.report


def test_neck_and_head():
    model = build()
    before = copy.deepcopy(model.student.state_dict())
    report = run(model)
    teacher = model.teachers['teacher'].network.state_dict()
    assert set(report) == {'neck', 'bbox_head'}
    assert report['bbox_head'] == (8, 0, 0)
    # The convolutions on the backbone's outputs have other widths.
    whole, narrowed, left = report['neck']
    assert whole > 0 == narrowed < left
    for key, value in model.student.state_dict().items():
        inherited = key.startswith(
            ('neck', 'bbox_head')) and teacher[key].shape == value.shape
        assert torch.equal(value, teacher[key] if inherited else before[key])
    # Copies, which may now part.
    weight = teacher['bbox_head.retina_cls.weight'].clone()
    with torch.no_grad():
        model.student.bbox_head.retina_cls.weight.add_(1)
    assert torch.equal(teacher['bbox_head.retina_cls.weight'], weight)


def test_named_modules():
    model = build()
    head = copy.deepcopy(model.student.bbox_head.state_dict())
    assert set(run(model, modules='neck')) == {'neck'}
    for key, value in model.student.bbox_head.state_dict().items():
        assert torch.equal(value, head[key])


def test_other_architectures():
    teacher = detector(8)
    teacher['model'].update(type='FCOS')
    teacher['model']['bbox_head'] = dict(
        type='FCOSHead',
        num_classes=3,
        in_channels=8,
        stacked_convs=1,
        feat_channels=8,
        norm_cfg=None)
    teacher['model'].pop('train_cfg')
    model = build(teacher=teacher)
    assert run(model) == {}
    assert set(run(model, modules=['neck'])) == {'neck'}


def test_which_teacher():
    model = build(first=detector(8), second=detector(16))
    with pytest.raises(ConfigError, match='first, second'):
        run(model)
    run(model, teacher='second')
    second = model.teachers['second'].network
    assert torch.equal(model.student.bbox_head.retina_cls.weight,
                       second.bbox_head.retina_cls.weight)


def test_what_cannot_be_inherited():
    with pytest.raises(ConfigError, match="no module 'roi_head'; it has"):
        run(build(), modules=['roi_head'])
    with pytest.raises(ConfigError, match='shares no tensor'):
        run(build(detector(4, channels=4, num_classes=2)),
            modules=['bbox_head.cls_convs.0'])


def test_all_of_a_narrower_student():
    model = build()
    report = run(model, modules='all', narrow=True)
    assert set(report) == {'backbone', 'neck', 'bbox_head'}
    assert sum(x.narrowed for x in report.values()) > 0
    assert all(x.left == 0 for x in report.values())
    teacher = model.teachers['teacher'].network.state_dict()
    for key, value in model.student.state_dict().items():
        assert value.equal(teacher[key][tuple(map(slice, value.shape))]), key
    with pytest.raises(ConfigError, match='select is one of first, l1'):
        run(model, select='bn')
    with pytest.raises(ConfigError, match='shares no tensor with teacher'):
        run(build(segmentor(4), detector(8)), modules='all')


def test_in_a_run(cityscapes, tmp_path):
    """After the initialisation, unless there is a checkpoint."""
    assert HOOKS.get('InheritTeacherHook') is InheritTeacherHook
    # The heads of these two have one width.
    student, teacher = segmentor(4), segmentor(8)
    for cfg in (student, teacher):
        cfg['model']['decode_head'].update(in_index=3, channels=8)

    def train(folder, **options):
        cfg = segmentation_config(
            cityscapes,
            str(tmp_path / folder),
            student['model'],
            max_iters=1,
            optim_wrapper__optimizer__lr=0.0,
            **options)
        cfg = distillation_config(
            cfg, dict(kd=dict(type='LogitsKD')),
            dict(teacher=dict(cfg=teacher, ckpt='random')))
        cfg.custom_hooks = [
            dict(type='mmkd.InheritTeacherHook'),
            dict(type='EMAHook')
        ]
        return apis.train(cfg).model

    model = train('first')
    key = 'decode_head.conv_seg.weight'
    inherited = model.teachers['teacher'].network.state_dict()[key]
    assert torch.equal(model.student.state_dict()[key], inherited)
    plain = build(segmentor(4), segmentor(8)).student.state_dict()
    plain[key] = torch.full_like(inherited, 2.0)
    torch.save(dict(state_dict=plain), tmp_path / 'plain.pth')
    model = train('second', load_from=str(tmp_path / 'plain.pth'))
    assert (model.student.state_dict()[key] == 2).all()
    # A network without teachers is left alone.
    assert run(model.student) == {}
