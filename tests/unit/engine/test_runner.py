import os

import pytest
import torch

from mmkd import apis
from mmkd.engine.runner import DistillationRunner, last_checkpoint
from mmkd.errors import CheckpointError
from mmkd.testing import segmentation_config, segmentor


def test_last_checkpoint(tmp_path):
    folder = str(tmp_path)
    assert last_checkpoint(folder) is None
    for name in ('iter_9.pth', 'iter_10.pth', 'iter_11.pth.part', 'best.pth'):
        (tmp_path / name).write_text('x')
    newest = str(tmp_path / 'iter_10.pth')
    assert last_checkpoint(folder) == newest
    note = tmp_path / 'last_checkpoint'
    note.write_text(str(tmp_path / 'iter_9.pth'))
    assert last_checkpoint(folder) == str(tmp_path / 'iter_9.pth')
    note.write_text('/moved/from/here/iter_9.pth')
    assert last_checkpoint(folder) == str(tmp_path / 'iter_9.pth')
    for broken in ('', '/gone/iter_3.pth'):  # killed while it was written
        note.write_text(broken)
        assert last_checkpoint(folder) == newest


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
    from mmkd.models.network import build_network
    network = build_network(segmentor(), 'x')
    torch.save(network.state_dict(), tmp_path / 'weights.pth')
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    with pytest.raises(CheckpointError, match='weights.pth .*resume.*load_fr'):
        runner.resume(str(tmp_path / 'weights.pth'))


def test_nothing_to_resume_from(runner):
    runner._resume = True
    runner.load_or_resume()
    assert not runner._has_loaded
