"""Runs with unlabelled images beside the labelled ones."""
import copy

import pytest
from mmengine.config import Config

from mmkd import apis
from mmkd.cli import call
from mmkd.engine.configs import student_only
from mmkd.engine.unlabelled import expand_unlabelled
from mmkd.errors import ConfigError, MMKDError
from mmkd.testing import (differences, distillation_config,
                          segmentation_config, segmentor)
from mmkd.utils.checkpoint import read_file
from mmkd.utils.files import write_bytes

MGD = dict(
    mgd=dict(
        type='MGD',
        student='backbone[3]',
        teacher='backbone[3]',
        loss_weight=1.))


@pytest.fixture
def mixed(cityscapes, tmp_path):
    """A run on labelled images, and the others of the data set."""
    plain = segmentation_config(cityscapes, str(tmp_path / 'run'))
    plain.default_hooks.checkpoint.interval = 2
    cfg = distillation_config(plain, MGD)
    cfg.unlabelled = dict(data=f'{cityscapes}/leftImg8bit/val', ratio=1.5)
    return cfg


def test_expansion(mixed):
    given = copy.deepcopy(mixed)
    cfg = expand_unlabelled(mixed)
    assert 'unlabelled' not in cfg
    assert cfg.model.unlabelled_norm == 'update'
    loader = cfg.train_dataloader
    assert loader.dataset.dataset == given.train_dataloader.dataset
    crop = loader.dataset.unlabelled.pipeline[1]
    assert crop.name == 'RandomResizedCrop' and crop['size'] == [32, 64]
    again = copy.deepcopy(cfg)
    assert expand_unlabelled(again).to_dict() == cfg.to_dict()
    # The plain run of the student has only the labelled images.
    for config in (given, cfg):
        plain = student_only(config)
        assert plain.train_dataloader.dataset == given.train_dataloader.dataset
        assert not plain.train_dataloader.get('batch_sampler')
        assert 'mmkd' not in plain.pretty_text


@pytest.mark.parametrize('pipeline, size', [
    ([dict(type='Resize', scale=(96, 64))], [64, 96]),
    ([
        dict(type='RandomResize', scale=(96, 64)),
        dict(type='RandomCrop', crop_size=(32, 64))
    ], [32, 64]),
    ([dict(type='mmseg.RandomCrop', crop_size=48)], [48, 48]),
    ([dict(type='mmdet.RandomCrop', crop_size=(32, 64))], [64, 32]),
])
def test_size_is_that_of_the_student(mixed, pipeline, size):
    mixed.model.student.data_preprocessor.size = None
    mixed.train_dataloader.dataset.pipeline = pipeline
    cfg = expand_unlabelled(mixed)
    crop = cfg.train_dataloader.dataset.unlabelled.pipeline[1]
    assert crop['size'] == size


def test_size_of_a_student_in_a_file(mixed):
    mixed.model.student = 'mmseg::pspnet/pspnet_r50-d8_4xb2-40k_' \
        'cityscapes-512x1024.py'
    cfg = expand_unlabelled(mixed)
    crop = cfg.train_dataloader.dataset.unlabelled.pipeline[1]
    assert crop['size'] == [512, 1024]


def test_errors(mixed):
    for change, why in ((dict(unlabelled=dict(data='x', share=1)),
                         "has no argument 'share'"),
                        (dict(default_scope='mmdet3d'), 'mmdet and mmseg'), ({
                            'model.label_free':
                            True
                        }, 'without `label_free`'), ({
                            'model.student.data_preprocessor.size':
                            None
                        }, 'size=.height, width.')):
        cfg = copy.deepcopy(mixed)
        if 'unlabelled' in change:
            cfg.unlabelled = change['unlabelled']
        else:
            cfg.merge_from_dict(change)
        with pytest.raises(ConfigError, match=why):
            expand_unlabelled(cfg)


def test_resume_is_as_if_never_stopped(mixed):
    mixed.train_dataloader.num_workers = 1
    mixed.train_dataloader.persistent_workers = True
    whole = apis.train(Config(mixed.to_dict()))
    state = read_file(f'{mixed.work_dir}/iter_4.pth')
    mixed.merge_from_dict(
        dict(work_dir=f'{mixed.work_dir}2', experiment_name='resumed'))
    mixed.load_from = f'{whole.work_dir}/iter_2.pth'
    mixed.resume = True
    runner = apis.train(Config(mixed.to_dict()))
    again = read_file(f'{mixed.work_dir}/iter_4.pth')
    assert list(differences(state, again)) == []
    assert runner.train_dataloader.batch_sampler.count == 3
    assert len(runner.train_dataloader.dataset.unlabelled) > 0


def test_command(cityscapes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plain = segmentation_config(cityscapes, 'run')
    for name, width in (('student', 4), ('teacher', 8)):
        plain.model = segmentor(width)['model']
        write_bytes(f'{name}.py', plain.pretty_text.encode())
    base = [
        'distill', 'student.py', '--teacher', 'teacher.py', '--teacher-ckpt',
        'random'
    ]
    images = f'{cityscapes}/leftImg8bit/val'
    command = [
        *base, '--unlabelled', images, '--unlabelled-ratio', '0.5',
        '--config-only', '--work-dir', 'run'
    ]
    assert call(command) in (0, None)
    printed = capsys.readouterr().out
    assert 'method: ' in printed and 'BPKD' not in printed
    assert 'ratio=0.5' in printed
    for options, why in ((['--unlabelled-ratio', '2'], 'needs --unlabelled'),
                         (['--images', images, '--unlabelled',
                           images], 'give one of them'), ([
                               '--method', 'BPKD', '--unlabelled', images,
                               '--config-only'
                           ], 'BPKD needs labels.*MGD')):
        with pytest.raises(MMKDError, match=why):
            call([*base, *options])
