"""What makes a resumed run end as one that was never stopped."""
from typing import Any, Dict, Optional

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from mmkd.registry import HOOKS
from mmkd.utils.rng import random_state, set_random_state

#: What a checkpoint has beside mmengine's entries: for each process its
#: random state, its place in the data and its waiting gradients.
STATE_KEY = 'resume'


@HOOKS.register_module()
class ResumeHook(Hook):
    """Keep validation out of what a checkpoint has to tell.

    Validation leaves the random state of training as it finds it, so that
    training goes on in the same way whether it was stopped in it or not. A
    validation that was due after the checkpoint is done first when the run
    goes on: schedules and the best checkpoint may hang on it.

    :class:`~mmkd.engine.runner.DistillationRunner` has it by itself.
    """
    # After hooks that save or change anything.
    priority = 'LOWEST'

    def __init__(self) -> None:
        #: What the runner wants to have in the checkpoint that it saves.
        self.states: Optional[Dict[str, Any]] = None
        self._before_val: Optional[Dict[str, Any]] = None

    @property
    def validating(self) -> bool:
        """Whether a validation runs."""
        return self._before_val is not None

    def random_state(self) -> Dict[str, Any]:
        """The random state that training goes on with."""
        return self._before_val if self.validating else random_state()

    def before_val(self, runner) -> None:
        """Note the random state."""
        self._before_val = random_state()

    def after_val(self, runner) -> None:
        """Go back to it."""
        if self._before_val is not None:
            set_random_state(self._before_val)
            self._before_val = None

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add what it takes to go on."""
        if self.states is not None:
            checkpoint[STATE_KEY] = self.states

    def before_train(self, runner) -> None:
        """Validate, if that was due when the checkpoint was saved."""
        loop = runner.train_loop
        if not runner.iter or not runner.validation_is_open:
            return
        if isinstance(loop, EpochBasedTrainLoop):
            step, last = loop.epoch, loop.max_epochs
            if loop.iter != loop.epoch * len(loop.dataloader):
                return
        else:
            step, last = loop.iter, loop.max_iters
        loop._decide_current_val_interval()
        if (runner.val_loop is not None and step >= loop.val_begin
                and (step % loop.val_interval == 0 or step == last)):
            runner.logger.info('the validation that was due comes first')
            runner.val_loop.run()
