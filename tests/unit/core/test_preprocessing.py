import pytest
import torch
from mmengine.logging import MessageHub

from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor)

OTHER = dict(
    mean=[103.53, 116.28, 123.675], std=[1.0, 2.0, 3.0], bgr_to_rgb=False)


def build(student, teacher, place='stages', taps='backbone[1]'):
    return DistillationModel(
        student,
        dict(teacher=dict(cfg=teacher, ckpt='random')),
        dict(cwd=dict(type='CWD', place=place, student=taps, teacher=taps)),
        dry_run_size=(64, 64))


def prepared(model, batch):
    both = model.data_preprocessor(batch, True)
    own = model.teachers['teacher'].preprocessor(batch, True)
    return both, both['teacher_batches']['teacher'], own


def test_equal_preprocessing_is_shared():
    model = build(segmentor(), segmentor(8))
    assert model.data_preprocessor.how('teacher') == 'shared'
    both, teacher, _ = prepared(model, segmentation_batch())
    assert teacher['inputs'] is both['inputs']
    assert teacher['data_samples'] is both['data_samples']


def test_the_student_crop_size_does_not_matter():
    model = build(segmentor(), segmentor(8, size=(512, 1024)))
    assert model.data_preprocessor.how('teacher') == 'shared'


@pytest.mark.parametrize('other', [
    OTHER,
    dict(OTHER, bgr_to_rgb=True),
    dict(mean=[0.] * 3, std=[255.] * 3),
    dict(mean=[0.] * 3, std=[255.] * 3, pad_val=0.5),
    dict(mean=None, std=None, bgr_to_rgb=False),
])
def test_other_statistics(other):
    """Ragged images, so that there is padding as well."""
    sizes = [(32, 64), (20, 64), (32, 41), (17, 33)]
    model = build(segmentor(), segmentor(8, **other))
    assert model.data_preprocessor.how('teacher') == 'renormalised'
    both, teacher, own = prepared(model, segmentation_batch(sizes=sizes))
    scale = own['inputs'].abs().max()
    difference = (teacher['inputs'] - own['inputs']).abs().max()
    assert difference <= 1e-4 * max(1, scale / 10)
    assert teacher['data_samples'] is both['data_samples']
    # and back
    model = build(segmentor(**other), segmentor(8))
    _, teacher, own = prepared(model, segmentation_batch(sizes=sizes))
    torch.testing.assert_close(
        teacher['inputs'], own['inputs'], rtol=0, atol=1e-4)


def test_other_divisor():
    model = build(
        detector(pad_size_divisor=1), detector(8, pad_size_divisor=32))
    batch = detection_batch(size=(50, 70))
    both, teacher, own = prepared(model, batch)
    assert both['inputs'].shape[2:] == (50, 70)
    assert teacher['inputs'].shape[2:] == (64, 96)
    torch.testing.assert_close(
        teacher['inputs'], own['inputs'], rtol=0, atol=1e-4)


def test_other_library():
    model = build(segmentor(), detector(8, pad_size_divisor=1))
    assert model.data_preprocessor.how('teacher') == 'shared'
    model = build(segmentor(), detector(8))
    assert model.data_preprocessor.how('teacher') == 'renormalised'
    model = build(detector(), segmentor(8, **OTHER))
    batch = detection_batch()
    both, teacher, _ = prepared(model, batch)
    raw = torch.stack(batch['inputs']).float()
    mean, std = (torch.tensor(OTHER[k]).view(3, 1, 1) for k in ('mean', 'std'))
    torch.testing.assert_close(
        teacher['inputs'], (raw - mean) / std, rtol=1e-5, atol=1e-3)


def test_random_augmentation_is_done_once():
    augment = [
        dict(
            type='BatchSyncRandomResize',
            random_size_range=(32, 128),
            interval=1)
    ]
    model = build(
        detector(batch_augments=augment), detector(8, mean=[0., 0., 0.]))
    MessageHub.get_current_instance().update_info('iter', 0)
    sizes = set()
    for seed in range(4):
        both, teacher, _ = prepared(model, detection_batch(seed=seed))
        assert teacher['inputs'].shape == both['inputs'].shape
        sizes.add(both['inputs'].shape[-1])
    assert len(sizes) > 1


def test_augmentation_that_cannot_be_handed_on():
    augment = [dict(type='BatchFixedSizePad', size=(96, 96))]
    with pytest.raises(ConfigError, match='remove `batch_augments`'):
        DistillationModel(
            detector(batch_augments=augment),
            dict(
                teacher=dict(
                    cfg=detector(8),
                    ckpt='random',
                    input_map=dict(inputs='clean'))),
            dict(cwd=dict(type='CWD', place='neck')),
            dry_run_size=(64, 64))


def test_training_alone_serves_teachers():
    model = build(segmentor(), segmentor(8))
    batch = segmentation_batch()
    plain = model.student.data_preprocessor(batch, False)
    both = model.data_preprocessor(batch, False)
    assert set(both) == set(plain)
    assert both['inputs'].equal(plain['inputs'])
