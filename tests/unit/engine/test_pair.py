import pytest
import torch

from mmkd.engine.pair import Fit, Pair
from mmkd.errors import ConfigError, MismatchError
from mmkd.testing import (bev_detector, detector, segmentor,
                          transformer_segmentor)
from mmkd.testing.lidar import pointpillars


def pair(student, **teachers):
    return Pair(student, {
        name: dict(cfg=cfg, ckpt='random')
        for name, cfg in teachers.items()
    })


@pytest.fixture(scope='module')
def detectors():
    return pair(detector(4), teacher=detector(8))


@pytest.mark.parametrize('num_classes', [19, 7])
def test_segmentation_starts_with_features(num_classes):
    """Whether or not the teacher has the student's classes."""
    found = pair(segmentor(4), teacher=segmentor(8, num_classes=num_classes))
    fit, why = found.choose()
    assert fit.method == 'FeatureKD' and why.startswith('segmentation: ')
    assert fit.command == ('featurekd (--method-options loss_weight.type=auto '
                           'loss_weight.ratio=1.0)')
    assert 'needs boxes' in found.fit('FGD').reason


def test_a_student_that_is_part_of_its_teacher(detectors):
    assert detectors.is_narrower and detectors.inherits
    heads = pair(segmentor(4), teacher=segmentor(8, auxiliary=True))
    assert heads.is_narrower
    for width, teacher in ((8, segmentor(8)), (8, segmentor(4)),
                           (4, segmentor(8, depth=34)),
                           (4, segmentor(8, num_classes=7))):
        assert not pair(segmentor(width), teacher=teacher).is_narrower
    more = pair(segmentor(4), a=segmentor(8), b=segmentor(8))
    assert not more.is_narrower


@pytest.mark.parametrize('init_cfg', [
    dict(type='Pretrained', checkpoint='a.pth'),
    [dict(type='Constant', layer='Conv2d')],
])
def test_a_student_with_weights_inherits_none(init_cfg, monkeypatch):
    monkeypatch.setattr('mmengine.model.PretrainedInit.__call__',
                        lambda *args: None)
    cfg = segmentor(4)
    cfg['model']['backbone']['init_cfg'] = init_cfg
    found = pair(cfg, teacher=segmentor(8))
    assert found.is_narrower
    assert found.inherits is isinstance(init_cfg, list)


def test_attention_is_not_inherited():
    found = pair(transformer_segmentor(4), teacher=transformer_segmentor(8))
    assert found.is_narrower and not found.inherits


def test_options_of_the_user():
    fit = Fit('FeatureKD', {'loss_weight.type': 'auto', 'alpha': 1})
    given = {'loss_weight': 2, 'beta': 3}
    assert fit.with_options(given) == {**fit.options, **given}
    given = {'loss_weight.type': 'gam', 'loss_weight.module': 'neck'}
    assert fit.with_options(given) == dict(given, alpha=1)


def test_other_classes_lead_to_features():
    found = pair(segmentor(4), teacher=segmentor(8, num_classes=7))
    assert found.fit('CWD').command == 'cwd (--method-options place=stages)'
    assert 'compares logits class by class' in found.fit('BPKD').reason


def test_detection(detectors):
    fit, why = detectors.choose()
    assert fit.method == 'FeatureKD' and why.startswith('detection: ')
    assert fit.options == {'loss_weight.type': 'auto', 'loss_weight.ratio': 1}
    fits = {fit.method: fit for fit in detectors.fits()}
    assert list(fits)[0] == 'FeatureKD'
    assert fits['CWD'].options == dict(place='neck')
    assert 'no standard place' in fits['BPKD'].reason
    assert "'head_maps'" in fits['MonoTAKD'].reason
    assert 'other sensors' in fits['UniDistill'].reason


def test_a_teacher_without_a_head():
    pytest.importorskip('timm', reason='needs the extra foundation')
    pair = Pair(
        segmentor(4), dict(teacher=dict(cfg='timm::test_vit', ckpt='random')))
    fit, why = pair.choose()
    assert (fit.method, pair.task) == ('FeatureKD', 'teacher of features')
    assert 'no head' in why


def test_taps_without_labels(detectors):
    """The stage of a stride of 16, as the teacher has, and the last one."""
    pytest.importorskip('timm', reason='needs the extra foundation')
    teachers = dict(teacher=dict(cfg='timm::test_vit', ckpt='random'))
    student = segmentor(4)
    found = Pair(student, teachers).label_free_taps()
    assert found == ['backbone[2]', 'backbone[3]']
    # Of two teachers, the options choose one.
    two = Pair(student,
               dict(dino=teachers['teacher'], siglip=teachers['teacher']))
    assert two.label_free_taps() is None
    assert two.label_free_taps(dict(teacher='dino:maps[-1]')) == found
    # All strides from the second stage on are 8.
    student['model']['backbone'].update(
        strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
    assert Pair(student, teachers).label_free_taps() == ['backbone[3]']
    assert detectors.label_free_taps() is None  # the teacher has a head


def test_two_stages_have_their_preset(detectors, monkeypatch):
    """The family settles it, and a config may say otherwise."""
    detectors.student.roi_head = torch.nn.Identity()
    try:
        model = detectors.build('MGD')
        assert model.distillers['mgd'].loss_weight.value == 5e-7
        model = detectors.build('MGD', dict(preset='one_stage'))
        assert model.distillers['mgd'].loss_weight.value == 2e-5
    finally:
        del detectors.student.roi_head


def test_ignored_label_of_the_head():
    student = segmentor(4)
    student['model']['decode_head']['ignore_index'] = 7
    model = pair(student, teacher=segmentor(8)).build('BPKD')
    assert model.distillers['bpkd'].ignore_index == 7


def test_across_sensors():
    """Path, range and kind of head come from the networks."""
    found = pair(
        bev_detector(camera=True),
        teacher=bev_detector(camera=False, lidar=True))
    assert found.task == 'detection across sensors'
    fit, _ = found.choose()
    assert fit.method == 'UniDistill'
    model = found.build('UniDistill')
    distiller = model.distillers['unidistill']
    grid = model.student.view_transform.grid
    assert distiller.path == 'lidar2camera'
    low_x, low_y, _, high_x, high_y, _ = grid.point_cloud_range
    assert distiller.extent == (low_x, low_y, high_x, high_y)
    assert distiller.teacher_extent == distiller.extent
    assert found.build(
        'MonoTAKDAssistant').distillers['monotakdassistant'].head == 'center'


def test_mismatch(detectors):
    with pytest.raises(MismatchError, match='no standard place'):
        detectors.build('LogitsKD')


def test_no_method_serves_it(detectors, monkeypatch):

    def build(method, options):
        raise KeyError('what') if method == 'FeatureKD' else ConfigError('no')

    monkeypatch.setattr(detectors, '_fits', {})
    monkeypatch.setattr(detectors, 'build', build)
    with pytest.raises(
            ConfigError, match="serves .*FeatureKD: KeyError: 'what'"):
        detectors.choose()
    assert detectors.fit('CWD').reason == 'no'


def test_detection_starts_with_the_weights_of_the_teacher(detectors):
    fit, why = detectors.choose(inherits=True)
    assert fit == Fit('none', {}) and why.startswith('detection: ')
    assert detectors.choose()[0].method == 'FeatureKD'


def test_lidar_starts_with_the_weights_of_the_teacher():
    found = pair(pointpillars(4, 2000), teacher=pointpillars(8, 2000))
    assert found.inherits
    fit, why = found.choose(inherits=True)
    assert fit == Fit('none', {}) and why.startswith('LiDAR detection: ')
    assert found.choose()[0].method == 'PointDistiller'
    assert found.choose(labels=False, inherits=True)[0].method != 'none'
    assert 'none' not in [fit.method for fit in found.fits()]
