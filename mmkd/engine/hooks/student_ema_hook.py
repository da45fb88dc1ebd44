"""Exponential moving average of the student."""
from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.registry import MODELS

from mmkd.core.model import DistillationModel
from mmkd.core.state_keys import DISTILL_KEY
from mmkd.registry import HOOKS


@HOOKS.register_module()
class StudentEMAHook(EMAHook):
    """mmengine's EMA of only the student.

    Neither teachers nor connectors are averaged or copied. A checkpoint
    holds the averaged student under the student's key names, as
    :class:`~mmengine.hooks.EMAHook` does for a plain model. Arguments are
    those of the base class.
    """

    def before_run(self, runner) -> None:
        """Make the averaged copy of the student."""
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        self.src_model = model.student if isinstance(
            model, DistillationModel) else model
        self.ema_model = MODELS.build(
            self.ema_cfg, default_args=dict(model=self.src_model))

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Restore the average, or start it from the loaded weights."""
        if 'ema_state_dict' not in checkpoint or not runner._resume:
            checkpoint = dict(
                checkpoint,
                state_dict={
                    key: value
                    for key, value in checkpoint['state_dict'].items()
                    if not key.startswith(DISTILL_KEY)
                })
        super().after_load_checkpoint(runner, checkpoint)
