import logging
import math
import re
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmkd import apis
from mmkd.core.model import DistillationModel
from mmkd.engine.hooks import SelfCheckHook
from mmkd.engine.hooks.self_check_hook import failing_module
from mmkd.errors import ConfigError
from mmkd.families.foundation import Card, FoundationNetwork
from mmkd.testing import (distillation_config, segmentation_batch,
                          segmentation_config, segmentor)
from mmkd.utils.rng import preserve_rng

STAGES = dict(
    type='CWD', place='stages', student='backbone[2]', teacher='backbone[2]')


def large(**kwargs):
    """A teacher that can learn: an output stride of 8."""
    cfg = segmentor(8, dropout_ratio=0, **kwargs)
    cfg['model']['backbone'].update(
        strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
    return cfg


@pytest.fixture
def messages(monkeypatch):
    """What the hook logs, by level."""
    found = {logging.INFO: [], logging.WARNING: []}

    def log(message, logger=None, level=logging.INFO):
        found[level].append(message)

    monkeypatch.setattr('mmkd.engine.hooks.self_check_hook.print_log', log)
    return found


@pytest.fixture(scope='module')
def trained(cityscapes, tmp_path_factory):
    """Checkpoint of a teacher that has learnt the pictures."""
    folder = tmp_path_factory.mktemp('teacher')
    cfg = segmentation_config(
        cityscapes,
        str(folder),
        large()['model'],
        max_iters=40,
        train_dataloader__batch_size=4,
        optim_wrapper__optimizer__lr=0.1)
    with preserve_rng():
        apis.train(cfg)
    return f'{folder}/iter_40.pth'


def check(cityscapes, tmp_path, teacher, distillers=None, **kwargs):
    cfg = segmentation_config(cityscapes, str(tmp_path), max_iters=1)
    teacher = {'cfg': large(), **teacher}
    distillers = distillers or dict(cwd=STAGES)
    cfg = distillation_config(cfg, distillers, dict(teacher=teacher))
    runner = apis.build_runner(apis.prepare_training(cfg))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    hook = SelfCheckHook(**kwargs)
    hook.before_train(runner)
    return runner, hook


def test_trained_teacher(trained, cityscapes, tmp_path, messages):
    runner, hook = check(
        cityscapes, tmp_path, dict(ckpt=trained), gradient_band=(0, 1e9))
    assert not messages[logging.WARNING]
    found = hook.report['teacher teacher']
    assert found['ok'] and found['loss'] < 0.8 * found['blank']
    table = messages[logging.INFO][-1]
    assert 'cwd.loss' in table and 'gradient' in table
    assert hook.report['cwd.loss']['gradient'] > 0


def test_random_teacher(cityscapes, tmp_path, messages):
    check(cityscapes, tmp_path, dict(ckpt='random'), gradient_band=(0, 1e9))
    assert len(messages[logging.WARNING]) == 1
    assert "'teacher' does not seem to do its job" in messages[
        logging.WARNING][0]


def test_wrong_normalisation(trained, cityscapes, tmp_path, messages):
    wrong = large(mean=[0.] * 3, std=[1.] * 3, bgr_to_rgb=False)
    check(
        cityscapes,
        tmp_path,
        dict(ckpt=trained, cfg=wrong),
        gradient_band=(0, 1e9))
    assert 'normalisation' in messages[logging.WARNING][0]


def test_gradient_out_of_band(trained, cityscapes, tmp_path, messages):
    _, hook = check(
        cityscapes, tmp_path, dict(ckpt=trained), gradient_band=(0., 1e-9))
    warning, = messages[logging.WARNING]
    assert 'the gradient of cwd at its taps is' in warning
    weight = float(re.search('loss_weight=([^ ]+) ', warning)[1])
    balanced = dict(STAGES, loss_weight=weight)
    for cwd in (balanced,
                dict(STAGES, loss_weight=dict(type='auto', ratio=1.))):
        _, hook = check(cityscapes, tmp_path, dict(ckpt=trained),
                        dict(cwd=cwd))
        assert hook.report['cwd.loss']['gradient'] == pytest.approx(1, rel=.05)
    assert len(messages[logging.WARNING]) == 1


def test_rising_weight_is_shown_at_its_largest(trained, cityscapes, tmp_path):
    rising = dict(value=0., decay='linear', final=6.)
    full = dict(STAGES, loss_weight=6.)
    found = [
        check(
            cityscapes,
            tmp_path,
            dict(ckpt=trained),
            dict(cwd=cfg),
            gradient_band=(0, 1e9))[1].report['cwd.loss']
        for cfg in (dict(STAGES, loss_weight=rising), full)
    ]
    assert found[0]['loss'] > 0
    assert found[0]['gradient'] == pytest.approx(found[1]['gradient'], rel=.5)


def test_no_gradient_reaches_the_student(cityscapes, tmp_path, messages):
    cfg = segmentor()['model']
    cfg['backbone']['frozen_stages'] = 4
    plain = segmentation_config(cityscapes, str(tmp_path), cfg)
    cfg = distillation_config(plain, dict(cwd=STAGES))
    runner = apis.build_runner(apis.prepare_training(cfg))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    SelfCheckHook().before_train(runner)
    assert any('gives the student no gradient' in text
               for text in messages[logging.WARNING])


@pytest.mark.parametrize('real, blank, clear', [(1, 9, True), (9, 9, True),
                                                (7, 9, False), (0, 0, False),
                                                (math.nan, 9, True)])
def test_more_batches_while_in_doubt(real, blank, clear):
    assert SelfCheckHook()._is_clear(dict(loss=real),
                                     dict(loss=blank)) is clear


def test_nothing_changes(trained, cityscapes, tmp_path, messages):
    connector = dict(type='ConvConnector', norm_cfg=dict(type='BN'))
    cfg = segmentation_config(cityscapes, str(tmp_path), max_iters=1)
    cfg = distillation_config(
        cfg, dict(cwd=dict(STAGES, connector=connector), b=dict(type='BPKD')),
        dict(teacher=dict(cfg=large(), ckpt=trained)))
    runner = apis.build_runner(apis.prepare_training(cfg))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    model = runner.model.train()
    teacher = model.teachers['teacher'].network
    before = {
        **{
            k: v.clone()
            for k, v in model.state_dict().items()
        },
        **{
            f't.{k}': v.clone()
            for k, v in teacher.state_dict().items()
        }
    }
    transforms = runner.train_dataloader.dataset.pipeline.transforms
    transforms[0].seen = seen = []
    model.student.seen = []
    model.student.register_forward_hook(lambda m, *_: m.seen.append(1))
    state = torch.get_rng_state()
    SelfCheckHook().before_train(runner)
    assert torch.get_rng_state().equal(state)
    after = {
        **model.state_dict(),
        **{
            f't.{k}': v
            for k, v in teacher.state_dict().items()
        }
    }
    assert list(after) == list(before)
    assert all(value.equal(after[key]) for key, value in before.items())
    assert all(p.grad is None for p in model.parameters())
    assert not seen and not model.student.seen
    assert model.training and not teacher.training


def test_resumed_and_plain_runs_are_left_alone(cityscapes, tmp_path):
    hook = SelfCheckHook()
    plain = segmentation_config(cityscapes, str(tmp_path), max_iters=1)
    runner = apis.build_runner(Config(plain.to_dict()))
    hook.before_train(runner)
    runner, _ = check(cityscapes, tmp_path, dict(ckpt='random'))
    runner.train_loop._iter = 1
    hook.before_train(runner)
    assert not hook.report
    with pytest.raises(ConfigError, match='num_batches'):
        SelfCheckHook(num_batches=0)


class TestScans:
    """Teachers of LiDAR, which no blank image can test."""

    def check(self, model, batches):
        hook = SelfCheckHook()
        hook.check_teachers(model, batches)
        return hook.report['teacher teacher']

    def model(self, cfg, student=None):
        return DistillationModel(
            student=student or cfg,
            teachers=dict(teacher=dict(cfg=cfg, ckpt='random')),
            distillers=dict(
                cwd=dict(
                    type='CWD',
                    place='stages',
                    student='backbone[0]',
                    teacher='backbone[0]'))).train()

    def test_trained_and_random_teacher(self, messages, monkeypatch):
        from mmkd.testing.lidar import lidar_batch, pointpillars
        torch.manual_seed(0)
        model = self.model(pointpillars())
        batches = [lidar_batch(seed=seed) for seed in range(2)]
        found = self.check(model, batches)
        assert not found['ok'] and found['blank'] > 0
        assert 'range, columns of the points, sweeps' in messages[
            logging.WARNING][0]
        # The batch is as before; boxes were not turned into tensors.
        for one, other in zip(batches[0]['inputs']['points'],
                              lidar_batch(seed=0)['inputs']['points']):
            assert one.equal(other)
        boxes = batches[0]['data_samples'][0].gt_instances_3d.bboxes_3d
        assert not isinstance(boxes, torch.Tensor)
        # One that needs the shape of the scan.
        monkeypatch.setattr(
            model.teachers['teacher'].network, 'loss', lambda inputs, _: dict(
                loss=torch.tensor(1. / len(inputs['voxels']['voxels']))))
        found = self.check(model, batches)
        assert found['ok'] and found['blank'] == .5
        assert '; 0.5 on blank scans' in messages[logging.INFO][-1]

    def test_one_place_and_as_many_points(self):
        from mmkd.engine.hooks.self_check_hook import _blank_scans
        from mmkd.testing import bev_batch
        data = bev_batch(points=[300, 0])
        blank = _blank_scans(data)
        first, second = blank['inputs']['points']
        assert first.shape == (300, 5) and not len(second)
        assert torch.allclose(first[7], data['inputs']['points'][0].mean(0))
        assert (first == first[0]).all()
        assert blank['inputs']['img'] is data['inputs']['img']
        images = dict(inputs=[torch.ones(3, 4, 4)])
        assert _blank_scans(images) is images

    def test_both_sensors(self, messages):
        from mmkd.testing import bev_batch, bev_detector
        torch.manual_seed(0)
        model = DistillationModel(
            student=bev_detector(),
            teachers=dict(
                teacher=dict(cfg=bev_detector(lidar=True), ckpt='random')),
            distillers=dict(
                cwd=dict(
                    type='CWD',
                    place='stages',
                    student='bev_neck[0]',
                    teacher='bev_neck[0]')),
            dry_run_size=(32, 64)).train()
        seen = []
        model.teachers['teacher'].network.register_forward_pre_hook(
            lambda module, args: seen.append(args[0]))
        found = self.check(model, [bev_batch()])
        assert found['blank'] > 0 and found['blank'] != found['loss']
        assert 'on blank images and scans' in messages[logging.WARNING][0]
        real, blank = seen
        assert real['imgs'].abs().sum() > 0 == blank['imgs'].abs().sum()
        assert len(real['voxels']['voxels']) > 2 == len(
            blank['voxels']['voxels'])


def test_infinite_task_loss(cityscapes, tmp_path):
    cfg = segmentor()['model']
    cfg['decode_head']['loss_decode'] = dict(
        type='CrossEntropyLoss', loss_weight=math.inf)
    plain = segmentation_config(cityscapes, str(tmp_path), cfg)
    cfg = distillation_config(plain, dict(cwd=STAGES))
    runner = apis.build_runner(apis.prepare_training(cfg))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    with pytest.raises(ConfigError, match="student's own loss is inf on"):
        SelfCheckHook().before_train(runner)


def test_failing_module():

    class Broken(nn.Module):

        def forward(self, x):
            return x.no_such_method()

    model = nn.Sequential(nn.Identity(), nn.Sequential(Broken()))
    for broken, place in ((model, '1.0 (Broken)'), (nn.Identity(), '')):
        with pytest.raises(AttributeError) as caught:
            model(torch.ones(1))
        assert failing_module(broken, caught.value) == place


@pytest.mark.parametrize('wrong, level', [(2., logging.INFO),
                                          (1., logging.WARNING)])
def test_shuffled_images_after_200_iterations(messages, monkeypatch, wrong,
                                              level):
    monkeypatch.setattr('mmkd.engine.hooks.self_check_hook.shuffled_losses',
                        lambda *_: dict(kd=(1., wrong)))
    model = DistillationModel(
        segmentor(4), {}, {}, dry_run_size=(64, 64)).train()
    hook = SelfCheckHook()
    hook.before_train_iter(SimpleNamespace(iter=199, model=model), 0, {})
    assert not hook.report
    hook.before_train_iter(SimpleNamespace(iter=200, model=model), 0, {})
    assert hook.report['kd shuffled'] == dict(loss=1., shuffled=wrong)
    text, = messages[level]
    assert 'against the features of other images' in text

    def fail(*_):
        raise RuntimeError('out of memory')

    monkeypatch.setattr('mmkd.engine.hooks.self_check_hook.shuffled_losses',
                        fail)
    hook.before_train_iter(SimpleNamespace(iter=200, model=model), 0, {})
    assert 'RuntimeError: out of memory' in messages[logging.INFO][-1]


class Brightness(FoundationNetwork):
    """Its map is the image, times a factor, after an offset."""

    def __init__(self, factor, offset):
        super().__init__(
            nn.Conv2d(3, 3, 1), Card('brightness', (0., 0., 0.), (1., 1., 1.)))
        self.factor, self.offset = factor, offset

    def features(self, images):
        return [images * self.factor + self.offset], None


@pytest.mark.parametrize('factor, offset, verdict', [
    (1., 0., 'cosine'),
    (1 / 255**2, 1., 'looks untrained, or its images are divided by 255'),
    (float('nan'), 0., None),
])
def test_features_of_a_teacher_without_a_task(messages, factor, offset,
                                              verdict):
    model = DistillationModel(
        segmentor(4),
        dict(teacher=dict(cfg=Brightness(factor, offset))),
        dict(kd=dict(type='FeatureKD', student='backbone[-1]')),
        dry_run_size=(64, 64))
    batches = []
    for i in range(3):
        batch = segmentation_batch(1, size=(32, 32), seed=i)
        batch['inputs'][0] = torch.zeros(3, 32, 32)
        batch['inputs'][0][i] = 200.  # an image of one colour
        batches.append(batch)
    hook = SelfCheckHook(num_batches=1)
    if verdict is None:
        with pytest.raises(ConfigError, match='features that are not finite'):
            hook.check_teachers(model, batches)
        return
    hook.check_teachers(model, batches)
    level = logging.WARNING if offset else logging.INFO
    assert verdict in messages[level][-1]
    cosine = hook.report['features of teacher']['cosine']
    assert cosine > .99 if offset else cosine == pytest.approx(0, abs=1e-6)
