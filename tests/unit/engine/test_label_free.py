"""`mmkd distill --images`, and the config that it trains with."""
import copy
import json
import shlex

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmkd import apis
from mmkd.cli import call
from mmkd.core.network import build_network
from mmkd.engine.configs import student_only
from mmkd.engine.label_free import expand_label_free
from mmkd.errors import ConfigError, MMKDError
from mmkd.testing import (detector, differences, distillation_config,
                          segmentation_config, segmentor,
                          transformer_segmentor)
from mmkd.utils.checkpoint import read_file

MAKE = dict(detector=detector, segmentor=segmentor)


def distillation(**label_free):
    return Config(
        dict(
            default_scope='mmdet',
            model=dict(
                type='mmkd.DistillationModel', student=detector()['model']),
            custom_hooks=[
                dict(type='EMAHook'),
                dict(type='YOLOXModeSwitchHook'),
                dict(type='mmkd.SelfCheckHook')
            ],
            test_evaluator=dict(type='CocoMetric'),
            label_free=dict(data='images', **label_free)))


def test_expansion():
    cfg = expand_label_free(distillation(epochs=40, batch_size=96))
    assert cfg.model.label_free and 'label_free' not in cfg
    assert [hook.type
            for hook in cfg.custom_hooks] == ['EMAHook', 'mmkd.SelfCheckHook']
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(5e-4 / 4)
    warm_up, cosine = cfg.param_scheduler
    assert warm_up.end == cosine.begin == 4 and cosine.end == 40
    assert cfg.test_evaluator is None and cfg.val_evaluator
    first, last = (
        cfg.train_dataloader.dataset[key].pipeline
        for key in ('dataset', 'unlabelled'))
    assert first[1]['size'] == [224, 224] and last[1]['size'] == [448, 448]
    sampler = cfg.train_dataloader.batch_sampler
    assert (sampler.begin, sampler.count) == (36, 24) and sampler.drop_last
    assert 'drop_last' not in cfg.train_dataloader
    pipeline = [x.type for x in first]
    assert pipeline[0] == 'mmkd.LoadImage'
    assert pipeline[-1] == 'mmdet.PackDetInputs'
    assert cfg.train_dataloader.collate_fn.type == 'mmkd.mixup_collate'
    assert 'collate_fn' not in cfg.val_dataloader
    again = copy.deepcopy(cfg)
    assert expand_label_free(again).to_dict() == cfg.to_dict()
    assert expand_label_free(distillation(held_out=0.)).val_evaluator is None
    for options in (dict(epochs=9), dict(last_size=224)):
        loader = expand_label_free(distillation(**options)).train_dataloader
        assert loader.dataset.type == 'mmkd.ImageFolder' and loader.drop_last


def test_rate_follows_the_batch_of_all_processes(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '4')
    cfg = distillation(batch_size=96)
    assert expand_label_free(
        copy.deepcopy(cfg)).optim_wrapper.optimizer.lr == pytest.approx(5e-4 /
                                                                        4)
    cfg.launcher = 'pytorch'
    assert expand_label_free(cfg).optim_wrapper.optimizer.lr == pytest.approx(
        5e-4 / 2)


@pytest.mark.parametrize('student, given, expected',
                         [(detector(), {}, 1e-6),
                          (transformer_segmentor(), {}, .04),
                          (detector(), dict(weight_decay=.5), .5)])
def test_weight_decay_follows_the_architecture(student, given, expected):
    cfg = distillation(**given)
    cfg.default_scope = student['default_scope']
    cfg.model.student = student['model']
    wrapper = expand_label_free(cfg).optim_wrapper
    assert wrapper.optimizer.weight_decay == expected
    assert wrapper.paramwise_cfg.norm_decay_mult == 0


def test_what_a_cache_leaves_out():
    cfg = distillation()
    cfg.model.teachers = dict(teacher=dict(cache=dict(dir='cache')))
    plain = expand_label_free(copy.deepcopy(cfg))
    assert 'collate_fn' not in plain.train_dataloader
    # Nor are there larger crops, which do not recur.
    assert plain.train_dataloader.dataset.type == 'mmkd.ImageFolder'
    assert 'batch_sampler' not in plain.train_dataloader
    for option in (dict(mixup=True), dict(last_size=448)):
        wrong = copy.deepcopy(cfg)
        wrong.label_free.update(option)
        with pytest.raises(ConfigError, match='leave out one of them'):
            expand_label_free(wrong)
    cfg.label_free.last_size = 224
    assert expand_label_free(cfg).to_dict() == plain.to_dict()


def test_errors():
    with pytest.raises(ConfigError, match="has no argument 'epoch'"):
        expand_label_free(distillation(epoch=3))
    with pytest.raises(ConfigError, match='at least 1'):
        expand_label_free(distillation(size=0))
    with pytest.raises(ConfigError, match='last_size is at least size'):
        expand_label_free(distillation(last_size=100))
    cfg = distillation()
    cfg.default_scope = 'mmdet3d'
    with pytest.raises(ConfigError, match='those of mmdet and mmseg can'):
        expand_label_free(cfg)
    with pytest.raises(ConfigError, match='needs a distillation config'):
        expand_label_free(
            Config(
                dict(model=dict(type='RetinaNet'), label_free=dict(data='x'))))


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(20):
        path = tmp_path / f'images/{"sub/" * (i % 2)}{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(path), cv2.resize(image, (96, 72)))

    def write(kind):
        for name, width in (('student', 4), ('teacher', 8)):
            cfg = Config(MAKE[kind](width))
            cfg.model.backbone.norm_eval = False
            cfg.default_hooks = dict(
                checkpoint=dict(type='CheckpointHook', interval=1))
            cfg.dump(f'{name}.py')
        network = build_network('teacher.py', 'the teacher')
        torch.save(dict(state_dict=network.state_dict()), 'teacher.pth')

    return write


@pytest.mark.parametrize('kind', MAKE)
def test_command(kind, files, tmp_path, capsys):
    files(kind)
    command = [
        'distill', 'student.py', '--teacher', 'teacher.py', '--teacher-ckpt',
        'teacher.pth', '--method', 'MGD', '--images', 'images', '--epochs',
        '2', '--batch-size', '4', '--size', '64', '--seed', '0', '--work-dir',
        'run', '--method-options', 'loss_weight=1.0', '--cfg-options',
        'label_free.num_workers=0', 'label_free.held_out=0.2',
        'label_free.lr=0.1', 'label_free.mixup=False'
    ]
    for i in range(6):
        path = tmp_path / f'classes/{"ab"[i % 2]}/{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        image = np.full((72, 96, 3), (20, 200)[i % 2] + i, np.uint8)
        cv2.imwrite(str(path), image)
    command[2:2] = ['--probe', 'classes']
    assert call(command) in (0, None)
    printed = capsys.readouterr().out
    assert '--part backbone' in printed and 'last validation' in printed
    checkpoint = torch.load('run/epoch_2.pth', weights_only=False)
    trained = checkpoint['state_dict']
    assert any(key.startswith('backbone.') for key in trained)
    short = next(
        str(path) for path in (tmp_path / 'run').glob('*.py')
        if not path.stem.endswith('_full'))
    assert 'label_free = dict(' in open(short).read()
    assert call(['export', short, 'run/epoch_2.pth']) in (0, None)
    text = open('run/export/student.py').read()
    assert 'mmkd' not in text and 'label_free' not in text
    network = build_network('student.py', 'the student')
    exported = torch.load('run/export/student.pth')
    origin = exported['meta']['teachers']['teacher']
    assert origin['weights'] == 'teacher.pth' and len(origin['sha256']) == 64
    assert Config.fromfile('run/export/student.py').teachers == dict(
        teacher=origin)
    weights = exported['state_dict']
    network.load_state_dict(weights)
    # The backbone alone, from which fine-tuning starts.
    export = next(line for line in printed.splitlines()
                  if line.startswith('export it with: mmkd '))
    assert call(shlex.split(export)[4:]) in (0, None)
    path, init_cfg = capsys.readouterr().out.splitlines()[-2:]
    part = torch.load(path)
    assert path.endswith('/run/export/backbone.pth')
    assert part['meta']['teachers'] == exported['meta']['teachers']
    cfg = Config.fromfile('student.py')
    cfg.model.backbone.init_cfg = eval(init_cfg.partition('=')[2])
    tuned = build_network(cfg, 'the student')
    tuned.init_weights()
    matched = tuned.backbone.state_dict()
    assert part['state_dict'].keys() == {f'backbone.{key}' for key in matched}
    for key, value in matched.items():
        assert value.equal(weights[f'backbone.{key}']), key
    command = ['export', short, 'run/epoch_2.pth', '--part']
    for options, why in ((['back'], "no part 'back'.*has backbone, "),
                         (['backbone', '--onnx'], 'leave --part out')):
        with pytest.raises(ConfigError, match=why):
            call([*command, *options])
    full = next(str(path) for path in (tmp_path / 'run').glob('*_full.py'))
    plain = student_only(full)
    assert 'train_dataloader' not in plain and 'mmkd' not in plain.pretty_text
    log = [
        json.loads(line)
        for path in (tmp_path / 'run').glob('*/vis_data/scalars.json')
        for line in open(path)
    ]
    held_out = [
        x['mgd.loss'] for x in log if 'mgd.loss' in x and 'lr' not in x
    ]
    assert len(held_out) == 2 and held_out[1] < held_out[0]
    measures = next(x for x in log if 'mutual_knn' in x)
    assert {'knn', 'linear'} < set(measures)


def test_options_that_do_not_fit(files):
    files('detector')
    base = [
        'distill', 'student.py', '--teacher', 'teacher.py', '--teacher-ckpt',
        'teacher.pth', '--method', 'MGD'
    ]
    for options, why in ((['--epochs', '3'], '--epochs needs --images'),
                         (['--images', 'images',
                           '--baseline'], 'give one of them'),
                         (['--images', 'gone', '--work-dir',
                           'run'], 'no file or folder')):
        with pytest.raises(MMKDError, match=why):
            call([*base, *options])


def test_check_reads_the_images(files):
    files('detector')
    cfg = apis.write_distillation_config(
        'student.py',
        dict(teacher=('teacher.py', 'teacher.pth')),
        'mgd',
        'run.py',
        label_free=dict(
            data='images', num_workers=0, size=64, batch_size=4, held_out=.2))
    report = apis.check(cfg, samples=4)
    assert not report.problems


def test_resume_is_as_if_never_stopped(cityscapes, tmp_path):
    """With a queue, statistics of two teachers and balanced weights; from the
    middle of an epoch of larger crops."""
    auto = dict(type='auto', interval=1, mode='track')
    cfg = distillation_config(
        segmentation_config(cityscapes, str(tmp_path / 'whole')),
        dict(
            queue=dict(
                type='SimilarityKD',
                teacher=dict(
                    stages='one:backbone[3]', summary='one:backbone[3]'),
                queue_size=5,
                loss_weight=auto),
            **{
                name:
                dict(
                    type='FeatureKD',
                    teacher=f'{name}:backbone[3]',
                    standardise=standardise,
                    loss_weight=auto)
                for name, standardise in (('one', 'phi'), ('two', 'channel'))
            }), {
                name: dict(cfg=segmentor(width), ckpt='random')
                for name, width in (('one', 8), ('two', 12))
            })
    cfg.label_free = dict(
        data=f'{cityscapes}/leftImg8bit',
        size=32,
        epochs=10,
        batch_size=4,
        num_workers=0,
        held_out=0.)
    cfg = expand_label_free(cfg)
    cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_sampler.begin = 2, 1
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=1)
    apis.train(Config(cfg.to_dict()))
    whole = read_file(f'{tmp_path}/whole/iter_4.pth')
    for key in ('queue.queue', 'one.statistics.0.rotation',
                'two.statistics.0.sums', 'one.balance.weight'):
        assert whole['state_dict'][f'distill.{key}'].any()
    cfg.merge_from_dict(
        dict(work_dir=str(tmp_path / 'again'), experiment_name='resumed'))
    cfg.load_from, cfg.resume = f'{tmp_path}/whole/iter_3.pth', True
    apis.train(cfg)
    again = read_file(f'{tmp_path}/again/iter_4.pth')
    assert list(differences(whole, again)) == []
