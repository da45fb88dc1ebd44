"""Whole runs through ``apis.train``."""
import errno
import gc
import glob

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS

from mmkd import apis
from mmkd.errors import CheckpointError, ConfigError, MMKDError
from mmkd.testing import (differences, distillation_config,
                          segmentation_config, segmentor)
from mmkd.utils.checkpoint import read_file

FEATURES = dict(
    type='CWD',
    place='stages',
    student='backbone[1:4]',
    teacher='backbone[1:4]')


@pytest.fixture
def plain(cityscapes, tmp_path):
    return segmentation_config(cityscapes, str(tmp_path / 'plain'))


def weights(runner):
    model = runner.model
    return {
        k: v.clone()
        for k, v in getattr(model, 'student', model).state_dict().items()
    }


def assert_same(first, second):
    assert list(first) == list(second)
    for key in first:
        assert first[key].equal(second[key]), key


def distilled(plain, distillers=None, teachers=None, **kwargs):
    if distillers is None:
        distillers = dict(cwd=FEATURES)
    cfg = distillation_config(plain, distillers, teachers, **kwargs)
    cfg.work_dir = plain.work_dir.replace('plain', 'distilled')
    return cfg


def train(cfg):
    return apis.train(Config(cfg.to_dict()))


RECIPES = {
    'sgd': {},
    'adamw with clipping and averages': {
        'optim_wrapper.optimizer':
        dict(_delete_=True, type='AdamW', lr=0.01, weight_decay=0.05),
        'optim_wrapper.clip_grad':
        dict(max_norm=0.1),
        'optim_wrapper.paramwise_cfg':
        dict(custom_keys={'decode_head': dict(lr_mult=10.)}),
        'custom_hooks': [dict(type='EMAHook', momentum=0.3)],
    },
    'accumulation by epoch': {
        'optim_wrapper.accumulative_counts': 2,
        'train_dataloader.sampler': dict(type='DefaultSampler', shuffle=True),
        'train_cfg':
        dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=1),
        'param_scheduler': [],
        'log_processor.by_epoch': True,
        'default_hooks.checkpoint.by_epoch': True,
        'default_hooks.logger.log_metric_by_epoch': True,
    },
}


@pytest.mark.parametrize('recipe', RECIPES)
def test_weight_zero_is_plain_training(plain, recipe):
    plain.merge_from_dict(RECIPES[recipe])
    expected = weights(train(plain))
    assert (expected['decode_head.conv_seg.weight'] != weights(
        apis.build_runner(plain))['decode_head.conv_seg.weight']).any()
    norm = dict(type='ConvConnector', norm_cfg=dict(type='BN'))
    zero = dict(loss_weight=0.)
    cfg = distilled(
        plain,
        dict(
            cwd=dict(FEATURES, **zero),
            norm=dict(FEATURES, connector=norm, **zero),
            bpkd=dict(type='BPKD', weights=dict(edge=0., body=0.)),
            later=dict(FEATURES, loss_weight=dict(value=5., begin=1000))))
    teacher_ran = []
    runner = apis.build_runner(apis.prepare_training(cfg))
    model = runner.model
    assert any('SelfCheck' in type(h).__name__ for h in runner.hooks)
    assert sum(p.numel() for p in model.distillers.parameters()) > 1000

    class Watch(Hook):
        priority = 'VERY_LOW'

        def before_train(self, runner):  # after the self-check
            network = model.teachers['teacher'].network
            network.data_preprocessor.register_forward_pre_hook(
                lambda *_: teacher_ran.append('prepared'))
            network.backbone.conv1.register_forward_hook(
                lambda *_: teacher_ran.append('ran'))

    runner.register_hook(Watch())
    runner.train()
    assert not teacher_ran
    assert_same(weights(runner), expected)


def test_plain_until_the_schedule_begins(plain):
    """Equal for as long as the weight is 0, and different from then on."""
    seen = {}

    @HOOKS.register_module()
    class Recorder(Hook):

        def after_train_iter(self, runner, batch_idx, **kwargs):
            seen.setdefault(runner.work_dir, []).append(weights(runner))

    try:
        plain.custom_hooks = [dict(type='Recorder')]
        train(plain)
        schedule = dict(value=5., begin=2)
        cfg = distilled(plain, dict(cwd=dict(FEATURES, loss_weight=schedule)))
        train(cfg)
    finally:
        HOOKS.module_dict.pop('Recorder')
    ours, theirs = seen[cfg.work_dir], seen[plain.work_dir]
    for i in range(2):
        assert_same(ours[i], theirs[i])
    key = 'backbone.conv1.weight'
    assert not ours[2][key].equal(theirs[2][key])


def test_distillation_changes_the_student_and_not_the_teacher(plain):
    expected = weights(train(plain))
    cfg = apis.prepare_training(distilled(plain))
    runner = apis.build_runner(cfg)
    teacher = runner.model.teachers['teacher'].network
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    connector = runner.model.distillers['cwd'].connectors[0].conv.weight
    runner.train()
    key = 'backbone.conv1.weight'
    assert not weights(runner)[key].equal(expected[key])
    assert_same(dict(teacher.state_dict()), before)
    assert not any(m.training for m in teacher.modules())
    state = runner.optim_wrapper.optimizer.state[connector]
    assert state['momentum_buffer'].abs().sum() > 0
    hub = MessageHub.get_current_instance()
    assert {'train/cwd.loss',
            'train/student.decode.loss_ce'} <= set(hub.log_scalars)


def test_optimiser_is_free_of_the_teacher(plain):
    runner = train(distilled(plain))
    mine = {id(p) for p in runner.model.parameters()}
    optimizer = runner.optim_wrapper.optimizer
    held = [p for group in optimizer.param_groups for p in group['params']]
    assert {id(p) for p in held} == mine and len(held) == len(mine)
    file = torch.load(f'{runner.work_dir}/iter_4.pth', weights_only=False)
    assert len(file['optimizer']['state']) == len(mine)


@pytest.mark.parametrize('kind', ['plain', 'all'])
def test_resume_is_as_if_never_stopped(plain, kind):
    """Data and their augmentation, dropout, masks, optimiser, schedule and
    connectors; averages, gradients that wait, a validation that was due, the
    calibration of a weight."""
    plain.default_hooks.checkpoint.interval = 2
    if kind == 'all':
        plain.custom_hooks = [dict(type='EMAHook', momentum=0.3)]
        plain.optim_wrapper.accumulative_counts = 3
        plain.train_cfg.val_interval = 2
        plain.default_hooks.checkpoint.save_best = 'mIoU'
        plain.train_dataloader.num_workers = 1
        plain.train_dataloader.persistent_workers = True
    masks = dict(type='MGD', student='backbone[3]', teacher='backbone[3]')
    schedule = dict(value=5., warmup=4)
    if kind == 'all':  # interrupted inside of the calibration
        masks['loss_weight'] = dict(type='auto', iters=3, interval=1)
    cfg = distilled(
        plain,
        dict(cwd=dict(FEATURES, loss_weight=schedule), mgd=masks),
        compile_backbone='eager' if kind == 'all' else False)
    whole = train(cfg)
    state = read_file(f'{cfg.work_dir}/iter_4.pth')
    # Runs of the same second would share their record of scalars.
    cfg.merge_from_dict(
        dict(work_dir=f'{cfg.work_dir}2', experiment_name='resumed'))
    cfg.load_from = whole.work_dir + '/iter_2.pth'
    cfg.resume = True
    cfg.randomness = dict(seed=None)  # that of the checkpoint is taken
    seen = []
    runner = apis.build_runner(apis.prepare_training(cfg))
    build = runner.model.forward
    runner.model.forward = lambda *a, **k: (
        seen.append(runner.model.planner.now().progress.iter)
        if k.get('mode') == 'loss' else None, build(*a, **k))[1]
    runner.train()
    assert seen == [2, 3]
    assert runner.model.compiled == (kind == 'all') == ('forward' in vars(
        runner.model.student.backbone))
    again = read_file(f'{cfg.work_dir}/iter_4.pth')
    assert again['meta']['iter'] == state['meta']['iter'] == 4
    assert list(differences(state, again)) == []
    history = again['message_hub']['log_scalars']
    assert len(history['train/loss']._log_history) == 4
    if kind == 'all':
        assert again['ema_state_dict']['steps'] == 4
        assert again['state_dict']['distill.mgd.balance.count'] == 3
        weights = history['train/mgd.weight']._log_history
        assert weights[2] == weights[3] != weights[1]
        # After the second and the fourth iteration, in both runs.
        assert len(history['val/mIoU']._log_history) == 2
        gradients = read_file(cfg.load_from)['resume']['processes'][0]
        assert gradients['gradients'][0].abs().sum() > 0


def test_resume_restores_every_value(plain):
    plain.custom_hooks = [dict(type='EMAHook', momentum=0.3)]
    cfg = distilled(plain)
    train(cfg)
    saved = torch.load(f'{cfg.work_dir}/iter_4.pth', weights_only=False)
    cfg.resume = True
    cfg.randomness = dict(seed=7)
    runner = apis.build_runner(apis.prepare_training(cfg))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(
        runner.param_schedulers)
    runner.call_hook('before_run')
    runner.load_or_resume()
    assert runner.iter == 4
    hook = next(h for h in runner.hooks if 'EMA' in type(h).__name__)
    state = runner.model.state_dict()
    averaged = hook.ema_model.module.state_dict()
    assert set(averaged) == set(weights(runner))
    for key, value in saved['state_dict'].items():
        if key.startswith('distill.'):
            assert state[key].equal(value)
        else:
            assert averaged[key].equal(value)
            assert state[key].equal(saved['ema_state_dict'][f'module.{key}'])
    momenta = runner.optim_wrapper.state_dict()['state']
    for index, entry in saved['optimizer']['state'].items():
        assert momenta[index]['momentum_buffer'].equal(
            entry['momentum_buffer'])


def test_average_is_of_the_student_alone(plain):
    plain.custom_hooks = [dict(type='EMAHook', momentum=0.3)]
    cfg = apis.prepare_training(distilled(plain))
    assert cfg.custom_hooks[0].type == 'mmkd.StudentEMAHook'
    runner = apis.build_runner(cfg)
    runner.train()
    file = torch.load(f'{cfg.work_dir}/iter_4.pth', weights_only=False)
    ema = file['ema_state_dict']
    keys = {k[7:] for k in ema if k.startswith('module.')}
    assert keys == set(weights(runner))
    student = weights(runner)
    key = 'decode_head.conv_seg.weight'
    # As in mmengine: the average is where plain weights are looked for.
    assert ema[f'module.{key}'].equal(student[key])
    assert not file['state_dict'][key].equal(student[key])


def test_load_from(plain, tmp_path):
    runner = train(plain)
    file = f'{plain.work_dir}/iter_4.pth'
    cfg = distilled(plain)
    cfg.load_from = file
    cfg.train_cfg.max_iters = 1
    cfg.optim_wrapper.optimizer.lr = 0.
    loaded = train(cfg)
    parameters = dict(runner.model.named_parameters())
    for name, value in loaded.model.student.named_parameters():
        assert value.equal(parameters[name])
    other = tmp_path / 'other.pth'
    torch.save(dict(state_dict=dict(foo=torch.zeros(1))), other)
    cfg.load_from = str(other)
    with pytest.raises(CheckpointError, match='other.pth: .*matches no'):
        train(cfg)


def test_plain_checkpoint_of_a_distilled_run_serves_a_plain_run(plain):
    runner = train(distilled(plain))
    file = f'{runner.work_dir}/iter_4.pth'
    plain.load_from = file
    plain.train_cfg.max_iters = 1
    plain.optim_wrapper.optimizer.lr = 0.
    again = train(plain)
    parameters = dict(runner.model.student.named_parameters())
    for name, value in again.model.named_parameters():
        assert value.equal(parameters[name])


def test_config_in_a_checkpoint_is_text(plain, tmp_path):
    cfg = distilled(plain)
    train(cfg)
    file, mark = f'{cfg.work_dir}/iter_4.pth', tmp_path / 'mark'
    content = torch.load(file, weights_only=False)
    for key in ('config', 'cfg'):
        content['meta'][key] = f"open({str(mark)!r}, 'w').write('x')"
    torch.save(content, file)
    cfg.load_from, cfg.resume = file, True
    cfg.train_cfg.max_iters = 5
    assert train(cfg).iter == 5
    assert not mark.exists()


def test_two_runners_in_one_process(plain):
    """Schedules follow the runner that runs, not the one built last."""
    schedule = dict(value=5., begin=2)
    cfg = distilled(plain, dict(cwd=dict(FEATURES, loss_weight=schedule)))
    runner = apis.build_runner(
        apis.prepare_training(Config(dict(cfg, experiment_name='first'))))
    cfg.work_dir += '2'
    cfg.default_scope = 'mmseg'
    apis.build_runner(
        apis.prepare_training(Config(dict(cfg, experiment_name='second'))))
    runner.train()
    assert runner.model.planner.now().progress.iter == 3
    assert runner.model.planner.now().progress.max_iters == 4
    history = runner.message_hub.log_scalars['train/cwd.loss']._log_history
    assert (history[:2] == 0).all() and (history[2:] > 0).all()


def test_folder_that_another_process_trains_into(plain, monkeypatch):

    def taken(*args):
        raise BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable')

    monkeypatch.setattr('mmkd.utils.files.fcntl.lockf', taken)
    with pytest.raises(MMKDError, match='another process trains into') as info:
        train(plain)
    assert plain.work_dir in str(info.value)
    assert not glob.glob(f'{plain.work_dir}/*.pth')


def test_amp(plain):
    auto = dict(FEATURES, loss_weight='auto')
    cfg = distilled(plain, dict(cwd=auto, bpkd=dict(type='BPKD')))
    apis.use_amp(cfg)
    dtypes = {}
    runner = apis.build_runner(apis.prepare_training(cfg))
    parse = runner.model.parse_losses

    def watch(losses):
        dtypes.update({k: v.dtype for k, v in losses.items()})
        return parse(losses)

    runner.model.parse_losses = watch
    runner.model.student.decode_head.conv_seg.register_forward_hook(
        lambda m, i, o: dtypes.update(logits=o.dtype))
    runner.train()
    assert dtypes.pop('logits') in (torch.bfloat16, torch.float32)
    ours = {
        k: v
        for k, v in dtypes.items()
        if not k.startswith('student') and not k.endswith('share')
    }
    assert len(ours) == 4 and set(ours.values()) == {torch.float32}
    assert all(p.isfinite().all() for p in runner.model.parameters())


def test_memory_of_a_run(plain):
    """No tensor more after more iterations."""
    counts = []

    @HOOKS.register_module()
    class Count(Hook):

        def before_train_iter(self, runner, batch_idx, **kwargs):
            gc.collect()
            counts.append(
                sum(isinstance(x, torch.Tensor) for x in gc.get_objects()))

    try:
        plain.train_cfg.max_iters = 5
        cfg = distilled(plain)
        cfg.custom_hooks = [dict(type='Count')]
        train(cfg)
    finally:
        HOOKS.module_dict.pop('Count')
    assert counts[4] == counts[3] == counts[2]


def test_a_runner_that_does_not_exist():
    with pytest.raises(ConfigError, match="no runner 'FastRunner'"):
        apis.build_runner(Config(dict(runner_type='FastRunner')))


def test_fifteen_lines(tmp_path, cityscapes):
    """The example of the README, as a file."""
    name = 'pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
    teacher = name.replace('r18', 'r50')
    file = tmp_path / 'config.py'
    file.write_text(f'''
_base_ = 'mmseg::{name}'

model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    dry_run_size=(64, 64),
    student={{{{_base_.model}}}},
    teachers=dict(
        teacher=dict(cfg='mmseg::{teacher}',
                     ckpt='random')),
    distillers=dict(
        bpkd=dict(type='BPKD', student='decode_head.conv_seg',
                  teacher='decode_head.conv_seg')))
''')
    cfg = Config.fromfile(str(file))
    cfg.work_dir = str(tmp_path)
    cfg.train_dataloader.dataset.data_root = cityscapes
    cfg.model.student.backbone.init_cfg = None
    cfg.model.student.pretrained = None
    runner = apis.build_runner(apis.prepare_training(cfg))
    assert type(runner.model).__name__ == 'DistillationModel'
    assert type(runner.model.student.decode_head).__name__ == 'PSPHead'
    assert runner.model.student.backbone.depth == 18
    assert runner.model.teachers['teacher'].network.backbone.depth == 50


def test_wrong_parts_stop_before_training(plain):
    cfg = distilled(plain, dict(cwd=dict(type='CWD', student='neck')))
    with pytest.raises(ConfigError, match='no module .neck'):
        train(cfg)
    cfg = distilled(plain, dict(kd=dict(type='LogitsKD')),
                    dict(teacher=dict(cfg=ConfigDict(segmentor(8)))))
    with pytest.raises(ConfigError, match='has no weights'):
        train(cfg)
