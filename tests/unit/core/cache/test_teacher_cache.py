import copy

import pytest
import torch
from torch import nn

from mmkd.core.cache import teacher_cache as module
from mmkd.core.cache.frames import prepared_image
from mmkd.core.cache.records import Stored
from mmkd.core.model import DistillationModel
from mmkd.core.network import build_network
from mmkd.errors import ConfigError
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor)
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator
from mmkd.testing.examples import PLAIN
from mmkd.testing.lidar import lidar_batch, pointpillars
from mmkd.utils.checkpoint import write_weights

#: Of one size, which is not a multiple of anything, and of several.
EQUAL = [(30, 50)] * 2
RAGGED = [(30, 64), (40, 33)]


class Raising(nn.Module):

    def forward(self, *args, **kwargs):
        raise AssertionError('the network was called')


@pytest.fixture(scope='session')
def weights(tmp_path_factory):
    """Weights of a teacher of each library."""
    folder = tmp_path_factory.mktemp('weights')
    files = {}
    for name, config in dict(seg=segmentor(8), det=detector(8)).items():
        torch.manual_seed(0)
        network = build_network(config, name)
        files[name] = str(folder / f'{name}.pth')
        write_weights(files[name], network.state_dict(), {})
    return files


@pytest.fixture
def build(tmp_path, weights):
    """Makes a model whose teacher has a cache in `tmp_path / 'cache'`."""

    def make(kind='seg', distiller=None, cache=None, **teacher):
        student, cfg, place = dict(
            seg=(segmentor(size=(40, 64)), segmentor(8), 'stages'),
            det=(detector(), detector(8), 'neck'))[kind]
        options = {'dir': str(tmp_path / 'cache'), **(cache or {})}
        torch.manual_seed(0)
        model = DistillationModel(
            student,
            dict(
                teacher={
                    **dict(cfg=cfg, ckpt=weights[kind], cache=options),
                    **PLAIN,
                    **teacher
                }),
            dict(cwd=distiller or dict(type='CWD', place=place)),
            dry_run_size=(64, 64))
        return model

    return make


def taps_of(model, data):
    """Tensors of the teacher in a step, by the path of their tap."""
    teacher = model.teachers['teacher']
    taps = model.taps.teacher_taps('teacher', list(model.distillers))
    with torch.no_grad():
        batch = model.data_preprocessor(data, True)
        frames = batch['teacher_batches']['teacher']['inputs']
        return teacher.cache.extract(frames, taps)


def flat(found):
    return [level for levels in found.values() for level in levels]


def equal(left, right):
    return len(left) == len(right) and all(
        a.equal(b) for a, b in zip(left, right))


def step(model, data):
    return model(**model.data_preprocessor(data, True), mode='loss')


def segmentation(sizes=EQUAL, seed=0):
    return segmentation_batch(sizes=sizes, seed=seed)


@pytest.mark.parametrize('dtype, limit', [('fp32', 0), ('fp16', 1e-3),
                                          ('int8', 0.02)])
def test_a_hit_equals_a_miss(build, dtype, limit):
    model = build(cache=dict(dtype=dtype))
    cache = model.teachers['teacher'].cache
    missed = flat(taps_of(model, segmentation()))
    assert (cache.hits, cache.misses) == (0, 2)
    assert equal(flat(taps_of(model, segmentation())), missed)
    assert (cache.hits, cache.misses) == (2, 2)
    cache.close()
    again = build(cache=dict(dtype=dtype))
    assert equal(flat(taps_of(again, segmentation())), missed)
    assert again.teachers['teacher'].cache.misses == 0
    # without the cache, each image alone
    frames = cache.frames(segmentation())
    for i, sample in enumerate(frames.samples):
        own = prepared_image(sample, cache._norm, torch.device('cpu'))
        live = model.teachers['teacher'].extract(
            own['inputs'], None, model.taps.teacher_taps('teacher', ['cwd']))
        for found, expected in zip(missed, flat(live)):
            height, width = expected.shape[2:]
            error = (found[i:i + 1, :, :height, :width] - expected).norm()
            assert error <= limit * expected.norm()


def test_a_hit_does_not_call_the_network(build):
    first = build()
    losses = step(first, segmentation())
    first.teachers['teacher'].cache.close()
    model = build()
    network = model.teachers['teacher'].network
    network.forward = Raising().forward
    again = step(model, segmentation())
    assert {
        k: v.item()
        for k, v in again.items()
    } == {
        k: v.item()
        for k, v in losses.items()
    }
    with pytest.raises(AssertionError, match='was called'):
        step(model, segmentation(seed=1))


def test_a_hit_does_not_wait_for_the_device(build):
    expected = step(build(), segmentation())
    with PretendedAccelerator() as accelerator:
        model = build(cache=dict(max_gb=0))
        model.to(DEVICE)
        missed = step(model, segmentation())
    with PretendedAccelerator() as accelerator:
        model = build()
        model.to(DEVICE)
        taps = model.taps.teacher_taps('teacher', ['cwd'])
        frames = model.teachers['teacher'].cache.frames(segmentation())
        before = accelerator.own(accelerator.waits)
        found = model.teachers['teacher'].cache.extract(frames, taps)
        assert accelerator.own(accelerator.waits) == before
        assert not accelerator.refused
    assert model.teachers['teacher'].cache.misses == 0
    assert all(level.device == DEVICE for level in flat(found))
    torch.testing.assert_close(
        float(missed['cwd.loss']), float(expected['cwd.loss']))


def test_training_on_hits_equals_training_on_misses(build):

    def train(model):
        torch.manual_seed(1)
        model.student.decode_head.dropout = None
        optimiser = torch.optim.SGD(model.parameters(), 0.01)
        for number in range(20):
            losses = step(model, segmentation(seed=number % 4))
            optimiser.zero_grad()
            sum(v for k, v in losses.items() if 'loss' in k).backward()
            optimiser.step()
        return list(model.state_dict().values())

    model = build(cache=dict(max_gb=0))
    missed = train(model)
    assert model.teachers['teacher'].cache.hits == 0
    filled = build()
    train(filled)
    assert filled.teachers['teacher'].cache.misses == 8
    filled.teachers['teacher'].cache.close()
    model = build()
    assert equal(train(model), missed)
    assert model.teachers['teacher'].cache.misses == 0


@pytest.mark.parametrize('kind', ['seg', 'det'])
def test_maps_fit_the_batch(build, kind):
    """As the joint run, but for what padding changes at the borders."""
    model = build(kind, cache=dict(dtype='fp32'))
    data = segmentation(RAGGED)
    if kind == 'det':
        data = detection_batch(1, (100, 200))
        other = detection_batch(1, (140, 70), seed=1)
        data = {key: data[key] + other[key] for key in data}
    joint = model.prepare_batch(copy.deepcopy(data), ['teacher'])
    taps = model.taps.teacher_taps('teacher', ['cwd'])
    own = joint['teacher_batches']['teacher']
    live = flat(model.teachers['teacher'].extract(own['inputs'],
                                                  own['data_samples'], taps))
    found = flat(taps_of(model, data))
    assert [x.shape for x in found] == [x.shape for x in live]
    assert all(x.dtype == y.dtype for x, y in zip(found, live))
    corner = [(x[0, :, 0, 0] - y[0, :, 0, 0]).norm() / y[0, :, 0, 0].norm()
              for x, y in zip(found[:1], live)]
    assert max(corner) < 0.1


def test_padding_beyond_all_images_counts(build):
    """The student pads to 32; the teacher, which does not, has to cover it."""
    model = build('seg', dict(type='CWD', place='stages'))
    model.student.data_preprocessor.size = (64, 96)
    found = flat(taps_of(model, segmentation([(30, 50)])))
    assert found[0].shape[2:] == (16, 24)
    assert not found[0][:, :, 8:].any() and not found[0][:, :, :, 13:].any()
    assert found[0][:, :, :8, :13].any()


@pytest.mark.parametrize('change', [
    dict(precision='bf16'),
    dict(fold=True),
    dict(cache=dict(dtype='fp16')),
    dict(distiller=dict(type='CWD', place='logits')),
    dict(cfg=segmentor(8, mean=[0., 0., 0.])),
    dict(ckpt='random'),
    dict(cfg=segmentor(8, dropout_ratio=0.2)),
])
def test_another_teacher_misses(build, tmp_path, change):
    step(build(), segmentation())
    model = build(**change)
    step(model, segmentation())
    assert model.teachers['teacher'].cache.hits == 0
    assert len(list((tmp_path / 'cache').iterdir())) == 2


def test_another_pixel_misses(build):
    model = build()
    data = segmentation()
    step(model, data)
    data['inputs'][1][0, 5, 5] += 1
    step(model, data)
    cache = model.teachers['teacher'].cache
    assert (cache.hits, cache.misses) == (1, 3)


def test_the_precision_of_the_step_counts(build, tmp_path):
    model = build()
    plain = flat(taps_of(model, segmentation()))
    with torch.autocast('cpu', torch.bfloat16):
        half = flat(taps_of(model, segmentation()))
    assert half[0].dtype == torch.bfloat16 != plain[0].dtype
    assert len(list((tmp_path / 'cache').iterdir())) == 2
    assert equal(flat(taps_of(model, segmentation())), plain)


def test_only_training_reads_the_cache(build):
    model = build()
    batch = model.prepare_batch(segmentation(), ['teacher'])
    assert torch.is_tensor(batch['teacher_batches']['teacher']['inputs'])
    plain = build(cache=None)
    plain.teachers['teacher'].cache = None
    model.observe(batch)
    assert model.teachers['teacher'].cache.misses == 0


def test_records_of_another_process(build, monkeypatch):
    model, other = build(), build()
    step(other, segmentation())
    monkeypatch.setattr(module, '_REFRESH', -1.)
    step(model, segmentation())
    assert model.teachers['teacher'].cache.misses == 0


def test_lidar(tmp_path):

    def make():
        torch.manual_seed(0)
        return DistillationModel(
            pointpillars(),
            dict(
                teacher=dict(
                    cfg=pointpillars(),
                    ckpt='random',
                    cache=dict(dir=str(tmp_path)),
                    **PLAIN)),
            dict(cwd=dict(type='CWD', student='neck', teacher='neck')))

    model = make()
    cache = model.teachers['teacher'].cache
    missed = flat(taps_of(model, lidar_batch()))
    assert equal(flat(taps_of(model, lidar_batch())), missed)
    assert (cache.hits, cache.misses) == (2, 2)
    data = lidar_batch()
    data['inputs']['points'][0][0, 0] += 0.01
    data['data_samples'][1].set_metainfo(dict(pcd_rotation=torch.eye(3)))
    taps_of(model, data)
    assert (cache.hits, cache.misses) == (2, 4)
    again = make()
    assert equal(flat(taps_of(again, lidar_batch())), missed)
    assert again.teachers['teacher'].cache.misses == 0


def refused(message, **kwargs):
    with pytest.raises(ConfigError, match=message) as error:
        kwargs.pop('build')(**kwargs)
    assert '\n' not in str(error.value)


def test_refusals(build, monkeypatch):
    refused('mode=.loss. reads the ground truth', build=build, mode='loss')
    refused(
        "no argument 'dtyp'. Did you mean",
        build=build,
        cache=dict(dtyp='int8'))
    refused(
        'dtype is one of int8, fp16, fp32',
        build=build,
        cache=dict(dtype='int4'))
    refused(
        "it has no folder; give it one, as in dir=",
        build=build,
        cache=dict(dir=''))
    refused('is a file; give', build=build, cache=dict(dir=__file__))
    refused('views is a number', build=build, cache=dict(views=0))
    from mmkd.methods.cwd import CWD
    monkeypatch.setattr(CWD, 'needs_inputs', True)
    refused("'cwd' .CWD. reads the teacher's inputs, not", build=build)
    monkeypatch.undo()
    monkeypatch.setattr('mmkd.core.cache.opening._obstacle', lambda *_: '')
    from mmseg.models import EncoderDecoder
    plain = EncoderDecoder._forward

    def reads(self, inputs, data_samples=None):
        data_samples[0].gt_sem_seg
        return plain(self, inputs, data_samples)

    def drops(self, inputs, data_samples=None):
        return plain(self, nn.functional.dropout(inputs, 0.1), data_samples)

    monkeypatch.setattr(EncoderDecoder, '_forward', reads)
    refused('not run without ground truth.*gt_sem_seg', build=build)
    monkeypatch.setattr(EncoderDecoder, '_forward', drops)
    refused('computes something else each time .dropout', build=build)


def test_batch_augments_are_refused(build, tmp_path):
    student = detector(batch_augments=[
        dict(
            type='BatchSyncRandomResize',
            random_size_range=(32, 64),
            size_divisor=32)
    ])
    with pytest.raises(ConfigError, match='augments batches at random'):
        DistillationModel(
            student,
            dict(
                teacher=dict(
                    cfg=detector(8),
                    ckpt='random',
                    cache=dict(dir=str(tmp_path)))),
            dict(cwd=dict(type='CWD', place='neck')))


def test_tokens_need_images_of_one_size(build):
    model = build()
    cache = model.teachers['teacher'].cache
    frames = cache.frames(segmentation(RAGGED))
    parts = [
        Stored.encode(torch.zeros(1, count, 4), 'int8') for count in (3, 4)
    ]
    with pytest.raises(ConfigError, match='need images of one size'):
        cache._join(parts, None, frames)
    assert cache._join(parts[:1] * 2, None, frames).shape == (2, 3, 4)
    frames = frames._replace(size=(64, 96))  # padding beyond the images
    with pytest.raises(ConfigError, match='need images of one size'):
        cache._join(parts[:1] * 2, None, frames)
