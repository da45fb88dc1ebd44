"""A hook that keeps validation from changing what a checkpoint stores."""
from typing import Any, Dict, Optional

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from mmkd.engine.resume.state import STATE_KEY
from mmkd.registry import HOOKS
from mmkd.utils.rng import random_state, set_random_state


@HOOKS.register_module()
class ResumeHook(Hook):
    """Makes training independent of whether it is stopped in validation.

    Validation restores the RNG state that it found. A validation that was due
    after the checkpoint runs first when the run is resumed, since schedules
    and the best checkpoint may depend on it.

    :class:`~mmkd.engine.runner.DistillationRunner` registers it by itself.

    Attributes:
        states (dict, optional): Entry for the checkpoint that is being saved
            (:func:`~mmkd.engine.resume.state.gather_states`).
    """
    # After hooks that save or change anything.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self.states: Optional[Dict[str, Any]] = None
        self._before_val: Optional[Dict[str, Any]] = None

    @property
    def validating(self) -> bool:
        """Whether a validation is running."""
        return self._before_val is not None

    def random_state(self) -> Dict[str, Any]:
        """The RNG state that training continues with."""
        return self._before_val if self.validating else random_state()

    def before_val(self, runner) -> None:
        """Save the RNG state."""
        self._before_val = random_state()

    def after_val(self, runner) -> None:
        """Restore the RNG state."""
        if self._before_val is not None:
            set_random_state(self._before_val)
            self._before_val = None

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the states of the processes, and where the teachers come from.
        """
        model = getattr(runner.model, 'module', runner.model)
        if hasattr(model, 'teachers'):
            checkpoint['meta']['teachers'] = {
                name: dict(teacher.origin)
                for name, teacher in model.teachers.items()
            }
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
