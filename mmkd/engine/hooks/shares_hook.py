"""The shares of the distillers in the gradients."""
import logging
import math
import os.path as osp
from typing import Any, Dict, Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log

from mmkd.core.balance import CheckpointedError
from mmkd.core.model import DistillationModel
from mmkd.core.step import StepPlanner
from mmkd.engine.checks.fast import plain_model
from mmkd.errors import ConfigError
from mmkd.registry import HOOKS
from mmkd.visualization.shares import Shares, draw_shares

#: Where the message hub keeps the values, so that a checkpoint has them.
_KEY = 'mmkd_shares'


@HOOKS.register_module()
class SharesHook(Hook):
    """Log how much the task and each distiller contribute to the gradients.

    At some iterations, the log gets ``student.share`` and
    ``<distiller>.share``: the L2 norm of the gradient of its weighted loss at
    all taps of the student, divided by the sum of these norms. At the end,
    ``shares.png`` in the work folder shows them over the training.

    A measurement takes one backward pass for each of them, down to the taps
    only, and changes nothing. With activation checkpointing (``with_cp``)
    between taps, torch allows none; a warning says so once.

    Args:
        interval (int): Iterations from one measurement to the next. Defaults
            to 50.

    Raises:
        ConfigError: If the interval is not positive.
    """

    def __init__(self, interval: int = 50) -> None:
        if interval < 1:
            raise ConfigError('SharesHook: interval is a number of iterations '
                              f'of at least 1, but got {interval}')
        self.interval = interval
        self._planner: Optional[StepPlanner] = None

    def before_train(self, runner) -> None:
        """Begin to measure."""
        model = plain_model(runner)
        if isinstance(model, DistillationModel):
            self._planner = model.planner
            self._planner.measure_shares(self.interval)

    def after_train_iter(self,
                         runner,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Optional[Dict[str, Any]] = None) -> None:
        """Keep what was measured."""
        found = {
            key[:-len('.share')]: float(value)
            for key, value in (outputs or {}).items() if key.endswith('.share')
        }
        if not found:
            self._stop_if_impossible()
        # A step that overflows has no shares.
        if found and all(map(math.isfinite,
                             found.values())) and is_main_process():
            shares: Shares = runner.message_hub.get_info(_KEY, [])
            runner.message_hub.update_info(_KEY,
                                           [*shares, (runner.iter + 1, found)])

    def _stop_if_impossible(self) -> None:
        """Warn, and measure no more, if the shares are due but missing."""
        step = self._planner.now() if self._planner else None
        if step and step.measures_shares and step.weights:
            self._planner.measure_shares(0)
            print_log(
                'the shares of the distillers in the gradients are not '
                f'measured: {CheckpointedError()}', 'current', logging.WARNING)

    def after_train(self, runner) -> None:
        """Draw the shares over the training."""
        shares = runner.message_hub.get_info(_KEY, [])
        if len(shares) > 1 and is_main_process():
            path = osp.join(runner.work_dir, 'shares.png')
            draw_shares(shares, path)
            print_log(f'shares of the gradients over the training: {path}',
                      'current')
