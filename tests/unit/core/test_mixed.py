"""Labelled and unlabelled images in one step."""
import numpy as np
import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper

from acceptance.processes import two
from mmkd.core.cache.frames import Frames
from mmkd.core.mixed import split_unlabelled
from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor)

PAIRS = dict(
    detector=(detector, 'neck', detection_batch),
    segmentor=(segmentor, 'backbone', segmentation_batch))
SIZE = (64, 64)


def unlabelled(batch):
    for sample in batch['data_samples']:
        for key in ('gt_sem_seg', 'gt_instances', 'ignored_instances'):
            if key in sample:
                delattr(sample, key)
        sample.set_metainfo(dict(labelled=False))
    return batch


def build(kind, norm='update', **distiller):
    make, tap, batch = PAIRS[kind]
    torch.manual_seed(0)
    model = DistillationModel(
        make(),
        dict(teacher=dict(cfg=make(), ckpt='random')),
        dict(kd={
            **dict(type='CWD', student=tap, teacher=tap),
            **distiller
        }),
        dry_run_size=SIZE,
        unlabelled_norm=norm).train()
    own = batch(2, size=SIZE)
    other = unlabelled(batch(3, size=(32, 64), seed=1))
    return model, own, other


def joined(own, other):
    return {key: [*own[key], *other[key]] for key in own}


def losses(model, data):
    return model(**model.data_preprocessor(data, True), mode='loss')


def test_split():
    own, other = detection_batch(2), unlabelled(detection_batch(1))
    first, second = split_unlabelled(joined(other, own))
    assert first['data_samples'] == own['data_samples']
    assert second['inputs'] == other['inputs']
    for one_kind in (own, other, dict(inputs=[1])):
        assert split_unlabelled(one_kind) == (one_kind, None)


@pytest.mark.parametrize('kind', PAIRS)
def test_no_head_reads_an_unlabelled_image(kind, monkeypatch):
    model, own, other = build(kind)
    head = model.student.bbox_head if kind == 'detector' else \
        model.student.decode_head
    plain, seen = head.forward, []

    def watched(feats, *args, **kwargs):
        found = plain(feats, *args, **kwargs)
        if len(feats[0]) != 2:
            raise AssertionError('the head saw unlabelled images')
        seen.append(len(feats[0]))
        return found

    monkeypatch.setattr(head, 'forward', watched)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    log = model.train_step(joined(own, other), wrapper)
    assert seen == [2] and log['kd.loss'] > 0


def test_terms_are_means_over_the_images():
    """Task losses see the labelled images alone."""
    found = []
    for data in ('own', 'other', 'both'):
        model, own, other = build('segmentor')
        model.student.decode_head.dropout = None
        if data == 'other':  # as in a run without labels
            model.label_free = True
        data = dict(own=own, other=other, both=joined(own, other))[data]
        found.append(losses(model, data))
    own, other, both = found
    # The norms use the statistics of their own pass.
    mean = (2 * own['kd.loss'] + 3 * other['kd.loss']) / 5
    assert both['kd.loss'].item() == pytest.approx(mean.item(), rel=1e-6)
    for key in own:
        if key != 'kd.loss':
            assert both[key].equal(own[key]), key


@pytest.mark.parametrize('norm', ['update', 'frozen'])
def test_norms(norm):
    model, own, other = build('segmentor', norm)
    bn = model.student.backbone.bn1
    losses(model, own)
    once = bn.running_mean.clone()
    model, own, other = build('segmentor', norm)
    bn = model.student.backbone.bn1
    total = losses(model, joined(own, other))
    assert bn.running_mean.equal(once) == (norm == 'frozen')
    assert bn.num_batches_tracked == (1 if norm == 'frozen' else 2)
    assert bn.training
    total['kd.loss'].backward()
    assert bn.weight.grad.abs().sum() > 0


def test_weight_0_leaves_them_out():
    model, own, other = build('detector', loss_weight=0.)
    assert 'unlabelled' not in model.data_preprocessor(
        joined(own, other), True)
    expected = losses(model, own)
    found = losses(model, joined(own, other))
    assert all(
        torch.equal(torch.as_tensor(found[key]), torch.as_tensor(value)
                    ) if not isinstance(value, list) else found[key] == value
        for key, value in expected.items())


def test_only_labelled_images_go_into_a_cache(tmp_path):
    make, tap, batch = PAIRS['segmentor']
    model = DistillationModel(
        make(),
        dict(
            teacher=dict(
                cfg=make(), ckpt='random', cache=dict(dir=str(tmp_path)))),
        dict(kd=dict(type='CWD', student=tap, teacher=tap)),
        dry_run_size=SIZE,
        unlabelled_norm='update').train()
    data = joined(batch(2, size=SIZE), unlabelled(batch(3, size=SIZE, seed=1)))
    prepared = model.data_preprocessor(data, True)
    own = prepared['teacher_batches']['teacher']['inputs']
    assert isinstance(own, Frames) and len(own.samples) == 2
    other = prepared['unlabelled']['teacher_batches']['teacher']['inputs']
    assert other.shape == (3, 3, *SIZE)
    assert model(**prepared, mode='loss')['kd.loss'] > 0


def test_an_automatic_weight_is_measured_on_labelled_images():
    model, own, other = build(
        'segmentor', loss_weight=dict(type='auto', iters=5, interval=1))
    found = losses(model, joined(own, other))
    balance = model.distillers['kd'].balance
    assert balance.steps == balance.count == 1
    assert found['kd.weight'] == balance.weight != 1


def of_two(rank):
    """The weights after two steps of this process."""
    torch.distributed.init_process_group('gloo')
    model, own, other = build('segmentor')
    ddp = MMDistributedDataParallel(
        model, find_unused_parameters=False, broadcast_buffers=False)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    for seed in (rank, rank + 2):
        own = segmentation_batch(2, size=SIZE, seed=seed)
        data = joined(own, unlabelled(segmentation_batch(3, seed=seed + 9)))
        ddp.train_step(data, wrapper)
    return {key: p.detach().numpy() for key, p in model.named_parameters()}


def test_two_processes():
    """DDP raises if a parameter took no part in the step before."""
    build('segmentor')  # imported once, not in each process
    first, second = two(of_two)
    for key, value in first.items():
        assert (value == second[key]).all() and np.isfinite(value).all(), key


def test_errors():
    with pytest.raises(ConfigError, match='FGD needs labels.*CWD'):
        build('detector', type='FGD')
    with pytest.raises(ConfigError, match="'update' or 'frozen'"):
        build('detector', norm='none')
    with pytest.raises(ConfigError, match='needs labels'):
        build('segmentor', valid_only=True)
    student = detector()
    student['model']['data_preprocessor']['batch_augments'] = [
        dict(type='BatchFixedSizePad', size=SIZE)
    ]
    with pytest.raises(ConfigError, match='batch_augments=None'):
        DistillationModel(
            student,
            dict(teacher=dict(cfg=detector(), ckpt='random')),
            dict(kd=dict(type='CWD', student='neck', teacher='neck')),
            dry_run_size=SIZE,
            unlabelled_norm='update')
