"""Runs with a cached teacher."""
import glob

import pytest
import torch

from mmkd import apis
from mmkd.errors import ConfigError
from mmkd.testing import distillation_config, segmentation_config, segmentor
from mmkd.testing.examples import PLAIN

CROP = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomResize',
        scale=(64, 32),
        ratio_range=(1., 2.),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=(32, 64)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs')
]


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    """Weights of the teacher."""
    from mmkd.core.network import build_network
    from mmkd.utils.checkpoint import write_weights
    path = str(tmp_path_factory.mktemp('teacher') / 'teacher.pth')
    torch.manual_seed(0)
    write_weights(path, build_network(segmentor(8), 'x').state_dict(), {})
    return path


@pytest.fixture
def config(cityscapes, tmp_path, teacher):

    def make(name='run', cache=None, **options):
        cfg = distillation_config(
            segmentation_config(
                cityscapes,
                str(tmp_path / name),
                log_level='INFO',
                randomness=dict(seed=3),
                val_cfg=None,
                val_dataloader=None,
                val_evaluator=None,
                **options), dict(cwd=dict(type='CWD', place='stages')),
            dict(
                teacher=dict(
                    cfg=segmentor(8),
                    ckpt=teacher,
                    cache=dict(dir=str(tmp_path / 'cache'), **(cache or {})),
                    **PLAIN)))
        cfg.experiment_name = name  # by default the second of the start
        return cfg

    return make


def run(cfg):
    runner = apis.train(cfg)
    file, = glob.glob(f'{cfg.work_dir}/*/*.log')
    with open(file, encoding='utf-8') as log:
        text = log.read()
    cache = runner.model.teachers['teacher'].cache
    return runner.model.state_dict(), cache, text


def equal(left, right):
    return all(left[key].equal(right[key]) for key in left)


def test_flips_come_again(config):
    """Both views of all images are stored after some passes; a second run
    then never calls the network."""
    state, cache, text = run(config(max_iters=16))
    assert 8 < cache.misses <= 16 and cache.hits + cache.misses == 32
    assert 'cache of' not in text and '  cache     ' in text
    assert '% of 8 samples came again when they were read twice, 0% are ' \
        'stored; about' in text
    assert f'{cache.hits} of 32 inputs came from the cache' in text
    again, cache, text = run(config('again', max_iters=16))
    assert cache.misses == 0 and equal(again, state)
    assert '100% are stored' in text


def test_random_crops_are_refused(config):
    cfg = config(train_dataloader__dataset__pipeline=CROP)
    with pytest.raises(
            ConfigError,
            match='would never hit.*random transforms: RandomResize, '
            'RandomCrop, RandomFlip; give the cache `views=8`'):
        apis.train(cfg)


def test_views_make_random_crops_recur(config, caplog):
    cfg = config(
        cache=dict(views=2, max_gb=1e-6),
        max_iters=4,
        train_dataloader__dataset__pipeline=CROP)
    state, cache, text = run(cfg)
    assert cache.hits == 0 and cache.misses == 8
    assert 'gives 2 view(s) of each sample' in text
    assert 'about 2 view(s) of each' in text and 'would need' in text
    assert '  data      CityscapesDataset, 8 samples' in text
    cfg = config(
        'filled',
        cache=dict(views=2),
        max_iters=16,
        train_dataloader__dataset__pipeline=CROP)
    cache = run(cfg)[1]
    assert (cache.hits, cache.misses) == (16, 16)


def test_resumed_in_mid_epoch(config):

    def make(name, iters):
        return config(
            name,
            cache=dict(views=2),
            max_iters=iters,
            default_hooks__checkpoint__interval=3,
            param_scheduler=[],
            train_dataloader__dataset__pipeline=CROP,
            train_dataloader__num_workers=2,
            train_dataloader__persistent_workers=True)

    whole = run(make('whole', 6))[0]
    apis.train(make('part', 3))
    cfg = make('part', 6)
    cfg.resume = True
    resumed = apis.train(cfg)
    assert resumed.model.teachers['teacher'].cache.misses == 0
    assert equal(resumed.model.state_dict(), whole)
