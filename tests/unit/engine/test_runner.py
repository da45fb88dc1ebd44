import errno
import os

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.registry import HOOKS

from mmkd import apis
from mmkd.engine.checkpoints import last_checkpoint
from mmkd.engine.runner import DistillationRunner
from mmkd.errors import BrokenCheckpointError, CheckpointError
from mmkd.testing import segmentation_config, segmentor


@pytest.fixture
def runner(cityscapes, tmp_path):
    cfg = segmentation_config(cityscapes, str(tmp_path))
    return apis.build_runner(apis.prepare_training(cfg))


def test_a_checkpoint_is_whole_or_absent(runner, tmp_path, monkeypatch):
    assert type(runner) is DistillationRunner
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    save = dict(save_optimizer=False, save_param_scheduler=False)
    runner.save_checkpoint(str(tmp_path), 'a.pth', **save)
    assert torch.load(tmp_path / 'a.pth', weights_only=False)['state_dict']
    assert not (tmp_path / 'a.pth.part').exists()

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', killed)
    with pytest.raises(KeyboardInterrupt):
        runner.save_checkpoint(str(tmp_path), 'b.pth', **save)
    assert not (tmp_path / 'b.pth').exists()


def test_a_plain_network_trains_fast(cityscapes, tmp_path):
    """It gets what `--fast` gives a distilled student, and its checkpoint is
    a plain one."""
    cfg = segmentation_config(cityscapes, str(tmp_path))
    apis.use_fast_student(cfg)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2)
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator'):
        cfg.pop(key, None)
    fast = apis.train(cfg)
    weight = fast.model.backbone.layer1[0].conv1.weight
    assert fast.model.channels_last
    assert weight.is_contiguous(memory_format=torch.channels_last)
    content = torch.load(tmp_path / 'iter_2.pth', weights_only=False)
    plain = apis.build_runner(
        apis.prepare_training(segmentation_config(cityscapes, str(tmp_path))))
    assert not hasattr(plain.model, 'channels_last')
    plain.model.load_state_dict(content['state_dict'])


def test_load_checkpoint(runner, tmp_path):
    state = runner.model.state_dict()
    for name, content in {
            'bare.pth':
            state,
            'wrapped.pth':
            dict(state_dict=state),
            'parallel.pth':
            dict(state_dict={
                f'module.{k}': v
                for k, v in state.items()
            }),
    }.items():
        content = {
            k: (torch.ones_like(v) if torch.is_tensor(v) else {
                n: torch.ones_like(w)
                for n, w in v.items()
            })
            for k, v in content.items()
        }
        for parameter in runner.model.parameters():
            parameter.data.zero_()
        torch.save(content, tmp_path / name)
        runner.load_checkpoint(str(tmp_path / name))
        assert all(p.eq(1).all() for p in runner.model.parameters())


def test_broken_checkpoints(runner, tmp_path):
    with pytest.raises(CheckpointError, match='no checkpoint .*gone.pth'):
        runner.load_checkpoint(str(tmp_path / 'gone.pth'))
    (tmp_path / 'cut.pth').write_bytes(b'PK\x03\x04')
    with pytest.raises(CheckpointError, match='cut.pth .*truncated'):
        runner.resume(str(tmp_path / 'cut.pth'))
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match='list.pth is no checkpoint'):
        runner.load_checkpoint(str(tmp_path / 'list.pth'))


def test_resume_needs_a_run(runner, tmp_path):
    from mmkd.core.network import build_network
    network = build_network(segmentor(), 'x')
    torch.save(network.state_dict(), tmp_path / 'weights.pth')
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    with pytest.raises(CheckpointError, match='weights.pth .*resume.*load_fr'):
        runner.resume(str(tmp_path / 'weights.pth'))


def test_nothing_to_resume_from(runner):
    runner._resume = True
    runner.load_or_resume()
    assert not runner._has_loaded


@pytest.fixture
def warnings(runner, monkeypatch):
    said = []
    monkeypatch.setattr(runner.logger, 'warning', said.append)
    return said


def test_broken_checkpoints_are_passed_over(runner, warnings, tmp_path):
    runner._resume = True
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(
        runner.param_schedulers)
    for step in (1, 2, 3):
        runner.save_checkpoint(
            str(tmp_path),
            f'iter_{step}.pth',
            meta=dict(epoch=0, iter=step),
            by_epoch=False)
    os.truncate(tmp_path / 'iter_3.pth', 1000)
    content = bytearray((tmp_path / 'iter_2.pth').read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / 'iter_2.pth').write_bytes(content)
    runner.load_or_resume()
    assert runner.iter == 1
    assert [text.split()[0] for text in warnings[:2]
            ] == [str(tmp_path / f'iter_{i}.pth') for i in (3, 2)]
    assert 'the one before is tried' in warnings[0]
    assert 'CRC' in warnings[1]
    assert f'resumes from {tmp_path}/iter_1.pth' in warnings[2]
    # All are broken: no silent new start.
    runner._load_from, runner._has_loaded = None, False
    os.truncate(tmp_path / 'iter_1.pth', 0)
    with pytest.raises(CheckpointError, match='iter_3.pth .*start anew'):
        runner.load_or_resume()
    # A file that the user names is taken, or none.
    with pytest.raises(BrokenCheckpointError, match='iter_3.pth'):
        runner.resume(str(tmp_path / 'iter_3.pth'))


@pytest.mark.parametrize('where', ['write', 'sync', 'note'])
def test_full_disk(cityscapes, tmp_path, monkeypatch, where):
    """The run stops with the way out, and what was saved is there still."""
    cfg = segmentation_config(
        cityscapes,
        str(tmp_path / 'run'),
        max_iters=3,
        default_hooks__checkpoint__interval=1,
        default_hooks__checkpoint__max_keep_ckpts=1)
    full = OSError(errno.ENOSPC, 'No space left on device')
    put, sync, calls = LocalBackend.put, os.fsync, []

    def no_room(self, content, path):
        if str(path).endswith('iter_3.pth.part') and where == 'write':
            put(self, content[:len(content) // 2], path)
            raise full
        put(self, content, path)

    def no_sync(handle):
        # A file, a folder; the same for the note of it: four a checkpoint,
        # after two for the config.
        calls.append(handle)
        if len(calls) == dict(write=99, sync=11, note=13)[where]:
            raise full
        sync(handle)

    monkeypatch.setattr(LocalBackend, 'put', no_room)
    monkeypatch.setattr(os, 'fsync', no_sync)
    message = 'No space left'
    if where != 'note':
        message = r'iter_3.pth cannot .*No space left.*iter_2.pth.*--resume'
    with pytest.raises((CheckpointError, OSError), match=message):
        apis.train(cfg)
    files = os.listdir(tmp_path / 'run')
    assert not any(name.endswith('.part') for name in files)
    assert 'iter_2.pth' in files
    last = last_checkpoint(str(tmp_path / 'run'))
    assert last.endswith('iter_3.pth' if where == 'note' else 'iter_2.pth')
    assert torch.load(last, weights_only=False)['state_dict']


def test_the_best_is_not_lost(runner, tmp_path, monkeypatch):
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    hook = HOOKS.build(
        dict(type='mmkd.SafeCheckpointHook', by_epoch=False, save_best='mIoU'))
    (tmp_path / 'iter_7.pth.part').write_text('of a run that was killed')
    hook.before_train(runner)
    assert not (tmp_path / 'iter_7.pth.part').exists()

    def validate(step, value):
        runner.train_loop._iter = step
        hook.after_val_epoch(runner, dict(mIoU=value))
        return sorted(path.name for path in tmp_path.glob('best*'))

    assert validate(1, 10.) == ['best_mIoU_iter_1.pth']
    assert validate(2, 5.) == ['best_mIoU_iter_1.pth']
    assert validate(3, 20.) == ['best_mIoU_iter_3.pth']

    def fail(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(LocalBackend, 'put', fail)
    with pytest.raises(CheckpointError, match='No space left'):
        validate(4, 30.)
    assert sorted(p.name
                  for p in tmp_path.glob('best*')) == ['best_mIoU_iter_3.pth']
