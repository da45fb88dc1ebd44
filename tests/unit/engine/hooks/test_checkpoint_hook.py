"""The hook that saves checkpoints: which one a run gets, what it removes."""
import pytest
from mmengine.registry import HOOKS

from mmkd import apis
from mmkd.engine.hooks.checkpoint_hook import SafeCheckpointHook
from mmkd.testing import segmentation_config


@pytest.fixture
def runner(cityscapes, tmp_path):
    cfg = segmentation_config(cityscapes, str(tmp_path / 'run'))
    runner = apis.build_runner(apis.prepare_training(cfg))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner._resume = True
    runner._load_from = str(tmp_path / 'run' / 'iter_4.pth')
    return runner


def make_hook(runner, **options):
    hook = HOOKS.build(
        dict(
            type='mmkd.SafeCheckpointHook',
            by_epoch=False,
            save_best='mIoU',
            rule='greater',
            **options))
    hook.before_train(runner)
    return hook


def files(folder):
    return {
        str(path.relative_to(folder))
        for path in folder.rglob('*') if path.suffix == '.pth'
    }


@pytest.mark.parametrize('best', [
    '{}/mine.pth', '{}/run/mine.pth', '{}/other/best_mIoU_iter_2.pth',
    '../mine.pth', '{}/run/iter_4.pth', '{}/run', '', 3
])
def test_the_best_of_a_checkpoint_is_no_order(runner, tmp_path, best):
    """The path in the file would be removed when a better one is saved."""
    (tmp_path / 'other').mkdir()
    given = {
        'mine.pth', 'run/mine.pth', 'other/best_mIoU_iter_2.pth',
        'run/iter_4.pth'
    }
    for name in given:
        (tmp_path / name).write_text('mine')
    best = best.format(tmp_path) if isinstance(best, str) else best
    runner.message_hub.update_info('best_ckpt', best)
    runner.message_hub.update_info('last_ckpt', str(tmp_path / 'mine.pth'))
    hook = make_hook(runner)
    runner.train_loop._iter = 4
    hook.after_val_epoch(runner, dict(mIoU=10.))
    assert files(tmp_path) == given | {'run/best_mIoU_iter_4.pth'}


@pytest.mark.parametrize('save_best', ['mIoU', ['mIoU', 'aAcc']])
def test_the_best_of_a_folder_that_was_moved(runner, tmp_path, save_best):
    old = tmp_path / 'run' / 'best_mIoU_iter_2.pth'
    old.write_text('old')
    key = 'best_ckpt' if save_best == 'mIoU' else 'best_ckpt_mIoU'
    runner.message_hub.update_info(key, '/before/best_mIoU_iter_2.pth')
    hook = HOOKS.build(
        dict(
            type='mmkd.SafeCheckpointHook',
            by_epoch=False,
            rule='greater',
            save_best=save_best))
    hook.before_train(runner)
    assert runner.message_hub.get_info(key) == str(old)
    hook.after_val_epoch(runner, dict(mIoU=10., aAcc=1.))
    assert not old.exists()


def test_numbers_of_another_run(runner, tmp_path):
    """A run that goes on from another folder's checkpoint removes nothing of
    a third run."""
    for step in (1, 2, 3):
        (tmp_path / 'run' / f'iter_{step}.pth').write_text('mine')
    runner.message_hub.update_info('keep_ckpt_ids', [1, 2, 3])
    hook = make_hook(runner, max_keep_ckpts=2)
    assert files(tmp_path) == {'run/iter_2.pth', 'run/iter_3.pth'}
    assert list(hook.keep_ckpt_ids) == [2, 3]
    runner._load_from = str(tmp_path / 'other' / 'iter_4.pth')
    hook = make_hook(runner, max_keep_ckpts=1)
    assert not hook.keep_ckpt_ids
    assert files(tmp_path) == {'run/iter_2.pth', 'run/iter_3.pth'}


def test_what_was_being_written(runner, tmp_path):
    names = [
        'iter_3.pth.part', 'best_mIoU_iter_3.pth.part', 'last_checkpoint.part',
        'mine.pth.part', 'iter_x.pth.part'
    ]
    for name in names:
        (tmp_path / 'run' / name).write_text('cut')
    make_hook(runner)
    left = {path.name for path in (tmp_path / 'run').glob('*.part')}
    assert left == set(names[3:])


@pytest.mark.parametrize('kind', ['CheckpointHook', 'mmengine.CheckpointHook'])
def test_checkpoint_hook(runner, kind):
    runner.register_hook(dict(type=kind, interval=3))
    hooks = [h for h in runner.hooks if isinstance(h, SafeCheckpointHook)]
    assert len(hooks) == 2 and {hook.interval for hook in hooks} == {3, 4}
