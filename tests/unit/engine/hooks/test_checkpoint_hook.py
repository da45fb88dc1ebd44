import pytest

from mmkd import apis
from mmkd.engine.hooks.checkpoint_hook import SafeCheckpointHook
from mmkd.testing import segmentation_config


@pytest.fixture
def runner(cityscapes, tmp_path):
    cfg = segmentation_config(cityscapes, str(tmp_path))
    return apis.build_runner(apis.prepare_training(cfg))


@pytest.mark.parametrize('kind', ['CheckpointHook', 'mmengine.CheckpointHook'])
def test_checkpoint_hook(runner, kind):
    runner.register_hook(dict(type=kind, interval=3))
    hooks = [h for h in runner.hooks if isinstance(h, SafeCheckpointHook)]
    assert len(hooks) == 2 and {hook.interval for hook in hooks} == {3, 4}
