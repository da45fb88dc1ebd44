import copy

import pytest
import torch
from mmengine.structures import PixelData

from mmkd.core.batch import RawBatch, StepBatch
from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.methods.bpkd.losses import edge_masks
from mmkd.testing import detection_batch, segmentation_batch, segmentor


def test_labels():
    raw = segmentation_batch(3)
    step = StepBatch(data_samples=raw['data_samples'])
    assert step.labels.shape == (3, 32, 64)
    assert step.labels.dtype == torch.long
    assert step.for_terms(frozenset('a')).labels is step.labels
    # Whoever asks first stacks them, for all.
    step = StepBatch(data_samples=raw['data_samples'])
    assert step.for_terms(frozenset('a')).labels is step.labels
    with pytest.raises(ConfigError, match='semantic segmentation only'):
        StepBatch(data_samples=detection_batch()['data_samples']).labels


def test_host_labels():
    prepared = segmentation_batch(2)['data_samples']
    loaded = copy.deepcopy(prepared)
    smaller = PixelData(data=loaded[1].gt_sem_seg.data[:, :20])
    loaded[1].gt_sem_seg = smaller
    step = StepBatch(
        data_samples=prepared, raw=RawBatch(None, loaded, label_padding=7))
    first, second = step.host_labels
    assert first.equal(loaded[0].gt_sem_seg.data.flatten())
    assert second.equal(torch.cat([smaller.data.flatten(), torch.tensor([7])]))
    # Without a raw batch they are the prepared ones.
    step = StepBatch(data_samples=prepared)
    assert torch.stack(step.host_labels).equal(step.labels.flatten(1))


def test_raw_batch_of_a_model():
    """BPKD finds all classes of a padded batch in what the loader gave."""
    student = segmentor(4, size=(32, 80), seg_pad_val=3)
    teacher = dict(cfg=segmentor(8), ckpt='random')
    model = DistillationModel(student, dict(teacher=teacher),
                              dict(kd=dict(type='BPKD')), (32, 64))
    data = segmentation_batch(2)
    for sample in data['data_samples']:
        sample.gt_sem_seg.data.clamp_(max=1)
    batch = model.prepare_batch(data, ['teacher'])
    assert batch['raw'].data_samples is data['data_samples']
    step = StepBatch(batch['inputs'], batch['data_samples'], raw=batch['raw'])
    found, _ = model.distillers['kd'].masks(torch.zeros(2, 19, 8, 20), step)
    assert found.equal(edge_masks(step.labels, 19, (8, 20))[0])
    assert found[:, 3].any()
    model.student.data_preprocessor.batch_augments = lambda *args: args
    assert model.prepare_batch(data, ['teacher'])['raw'] is None
