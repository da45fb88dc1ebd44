"""A whole run on a device other than the CPU."""
from mmengine.hooks import Hook

from mmkd import apis
from mmkd.registry import HOOKS
from mmkd.testing import distillation_config, segmentation_config, segmentor
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator

#: What waits on purpose: pictures, and the check that losses are finite,
#: which is read once before the optimiser steps.
WAITING = ('mmkd/visualization/', 'mmkd/engine/hooks/finite_loss_hook.py')


@HOOKS.register_module()
class NoteWaits(Hook):
    """Note what every iteration but the first one waits for."""
    priority = 'LOWEST'

    def __init__(self):
        self.found = []

    def after_train_iter(self, runner, batch_idx, **kwargs):
        accelerator = PretendedAccelerator.current
        if batch_idx:
            self.found += accelerator.own(accelerator.waits)
        accelerator.waits.clear()


def test_training(cityscapes, tmp_path):
    """In mixed precision, with an average of the weights, accumulated
    gradients, self-check and pictures, and a teacher of other statistics."""
    plain = segmentation_config(cityscapes, str(tmp_path), max_iters=3)
    cfg = distillation_config(
        plain, dict(bpkd=dict(type='BPKD'), cwd=dict(type='CWD')),
        dict(
            teacher=dict(
                cfg=segmentor(8, mean=[0.] * 3, std=[255.] *
                              3), ckpt='random')))
    cfg.optim_wrapper.update(
        type='mmkd.CPUAmpOptimWrapper', accumulative_counts=2)
    cfg.custom_hooks = [
        dict(type='EMAHook', momentum=0.3),
        dict(type='mmkd.SelfCheckHook', num_batches=1),
        dict(type='mmkd.DistillationVisualizationHook', interval=3, images=1),
        dict(type='mmkd.NoteWaits')
    ]
    with PretendedAccelerator() as accelerator:
        runner = apis.train(cfg)
    assert not accelerator.refused
    assert next(runner.model.parameters()).device == DEVICE
    hook, = (x for x in runner.hooks if isinstance(x, NoteWaits))
    lines = [where for _, where in hook.found]
    assert all(line.startswith(WAITING) for line in lines), lines
    assert {x
            for x in WAITING
            if any(y.startswith(x) for y in lines)} == set(WAITING)
    assert list((tmp_path / 'pictures').iterdir())
