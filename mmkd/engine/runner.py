"""mmengine's runner, with exact resuming and safe checkpoints."""
import inspect
import os.path as osp
from contextlib import nullcontext
from itertools import chain, repeat
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

from mmengine.dist import get_rank, is_main_process
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS, DefaultScope
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Priority
from mmengine.runner.checkpoint import (_load_checkpoint,
                                        _load_checkpoint_to_model)
from torch import nn

from mmkd.core.plain import speed_up_plain
from mmkd.core.rewriting import RewritingModel
from mmkd.engine.building import NamingRunner
from mmkd.engine.cache.views import views_of
from mmkd.engine.checkpoints import last_checkpoint, read_last_checkpoint
from mmkd.engine.checks.fast import plain_model
from mmkd.engine.configs import FAST_KEYS
from mmkd.engine.hooks.checkpoint_hook import SafeCheckpointHook
from mmkd.engine.records import record_config
from mmkd.engine.resume.check import check_resumable
from mmkd.engine.resume.fit import FitCheck
from mmkd.engine.resume.hook import ResumeHook
from mmkd.engine.resume.loader import ResumableLoader
from mmkd.engine.resume.state import (STATE_KEY, gather_states, own_state,
                                      restore_tensors)
from mmkd.errors import CheckpointError, ConfigError, MMKDError
from mmkd.utils.checkpoint import read_as_data
from mmkd.utils.files import discard, only_trainer, publish
from mmkd.utils.finite import check_finite


@RUNNERS.register_module()
class DistillationRunner(NamingRunner):
    """mmengine's runner, with exact resuming and safe checkpoints.

    A resumed run ends bit for bit as an uninterrupted one on a CPU
    (:mod:`mmkd.engine.resume`). If the config has no seed, the run keeps the
    one that it drew.

    A checkpoint appears under its name when it is complete on the disk. If
    the last one is broken nevertheless, ``--resume`` takes the one before.
    Checkpoints are read as weights and plain data. The config inside one is
    never executed; mmengine 0.10 would do that.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Whether a validation from before the checkpoint may be due.
        self.validation_is_open = False
        self._resume_hook = ResumeHook()
        self._found: Optional[Tuple[str, dict]] = None
        self._states: Optional[dict] = None
        read_as_data()
        given = inspect.signature(super().__init__).bind(*args, **kwargs)
        self._length = _length(given.arguments.get('train_cfg'))
        if given.arguments.get('resume'):
            # Before anything is written into the work folder.
            self._found = self._read_checkpoint(
                given.arguments['work_dir'], given.arguments.get('load_from'),
                MMLogger.get_current_instance())
        super().__init__(*args, **kwargs)

    def train(self) -> nn.Module:
        """Train; see :class:`~mmengine.runner.Runner`.

        Raises:
            MMKDError: If another process trains into the work folder.
        """
        self._become_current()
        if self._resume_hook not in self._hooks:
            self.register_hook(self._resume_hook)
        with only_trainer(
                self.work_dir) if is_main_process() else nullcontext():
            if self._resume and not self._has_loaded and self._found is None:
                self._find_checkpoint()
            self.check_data(self._train_dataloader, self._val_dataloader)
            if is_main_process():
                record_config(self.cfg, self.work_dir, self.timestamp)
            return super().train()

    def val(self) -> Dict[str, float]:
        """Validate; see :class:`~mmengine.runner.Runner`."""
        self._become_current()
        self.check_data(self._val_dataloader)
        return super().val()

    def test(self) -> Dict[str, float]:
        """Test; see :class:`~mmengine.runner.Runner`."""
        self._become_current()
        self.check_data(self._test_dataloader)
        return super().test()

    def _become_current(self) -> None:
        """Make this runner's message hub, log and scope the current ones, in
        case another runner was built later."""
        for manager in (MessageHub, MMLogger, DefaultScope):
            if self.experiment_name in manager._instance_dict:
                manager._instance_dict.move_to_end(self.experiment_name)

    def build_model(self, model: Union[nn.Module, dict]) -> nn.Module:
        """See the base class; a resumed run has the checkpoint's seed."""
        if self._resume:
            self._find_checkpoint()
        built = super().build_model(model)
        options = [self.cfg.get(key, False) for key in FAST_KEYS]
        if any(options):
            speed_up_plain(built, *options)
        return built

    def register_hook(
            self,
            hook: Union[Hook, dict],
            priority: Optional[Union[str, int, Priority]] = None) -> None:
        """Register a hook; see :class:`~mmengine.runner.Runner`."""
        if isinstance(hook, dict) and hook.get('type') in (
                'CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook):
            hook = dict(hook, type=SafeCheckpointHook)
        super().register_hook(hook, priority)

    # ------------------------------------------------------------- resuming

    def _find_checkpoint(self) -> None:
        """Find the checkpoint to resume from, before anything is built."""
        if self._found is None:
            self._found = self._read_checkpoint(self.work_dir, self._load_from,
                                                self.logger)
            if self._found is None:
                return
        self._load_from, content = self._found
        seed = content['meta'].get('seed')
        given = self._randomness_cfg.get('seed')
        if seed is not None and seed != given:
            # The order of the data and untrained parts depend on it.
            if given is not None:
                self.logger.warning(
                    f'the run keeps the seed of its checkpoint, {seed}; the '
                    f'config has {given}')
            self._randomness_cfg['seed'] = seed
            self.set_randomness(**self._randomness_cfg)

    def _read_checkpoint(self, work_dir: str, load_from: Optional[str],
                         logger: Any) -> Optional[Tuple[str, dict]]:
        """Read a checkpoint to resume from; None if there is none yet."""
        if load_from is None:
            found = read_last_checkpoint(work_dir, logger)
        else:
            found = str(load_from), _load_checkpoint(
                str(load_from), map_location='cpu')
        if found is not None:
            check_resumable(found[1], found[0], *self._length)
        return found

    def build_train_loop(self, loop: Union[BaseLoop, dict]) -> BaseLoop:
        """Build the training loop; see :class:`~mmengine.runner.Runner`."""
        configured = self._train_dataloader
        if isinstance(loop, BaseLoop) or not isinstance(configured, dict):
            return super().build_train_loop(loop)
        loader = self.build_dataloader(
            configured,
            seed=self.seed,
            diff_rank_seed=self._randomness_cfg.get('diff_rank_seed', False))
        content = self._found[1] if self._found else {}
        state = None
        views = views_of(getattr(plain_model(self), 'teachers', {}))
        if ResumableLoader.supports(loader):
            loader = ResumableLoader(loader, views, self._common_seed())
            state = own_state(content.get(STATE_KEY), self.logger)
        elif views is not None:
            raise ConfigError('`views` of a cache needs a training data set '
                              'that has a length and is read by index')
        if state is not None:
            loader.load_state_dict(state['loader'], state['random'])
        # The config remains, since others read the batch size there.
        self._train_dataloader = loader
        try:
            loop = super().build_train_loop(loop)
        finally:
            self._train_dataloader = configured
        if state is not None and isinstance(loop, IterBasedTrainLoop):
            # mmengine takes as many batches first, and drops them.
            loop.dataloader_iterator = chain(
                repeat(None, content['meta']['iter']),
                loop.dataloader_iterator)
        return loop

    def _common_seed(self) -> int:
        """The seed that all processes have."""
        own = self._randomness_cfg.get('diff_rank_seed', False)
        return self.seed - get_rank() * own

    def load_or_resume(self) -> None:
        """Load or resume; see :class:`~mmengine.runner.Runner`."""
        if self._resume and self._load_from is None and not self._has_loaded:
            self._find_checkpoint()
            if self._found is None:
                self.logger.info(f'no checkpoint in {self.work_dir} to '
                                 'resume from; training starts anew')
                return
        super().load_or_resume()

    def load_checkpoint(
            self,
            filename: str,
            map_location: Union[str, Callable] = 'cpu',
            strict: bool = False,
            revise_keys: List[Tuple[str, str]] = [(r'^module.', '')]) -> dict:
        """Load a checkpoint; see :class:`~mmengine.runner.Runner`.

        Raises:
            CheckpointError: If it is missing, broken, holds more than data,
                or matches nothing.
        """
        filename = str(filename)
        if self._found and self._found[0] == filename:
            checkpoint, self._found = self._found[1], None
        else:
            checkpoint = _load_checkpoint(filename, map_location='cpu')
        if not isinstance(checkpoint, dict):
            raise CheckpointError(f'{filename} is no checkpoint')
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
        if not isinstance(checkpoint.get('state_dict'), dict):
            checkpoint = dict(state_dict=checkpoint, meta={})
        self._states = checkpoint.get(STATE_KEY)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = self.model.module if is_model_wrapper(
            self.model) else self.model
        try:
            if self._resume and isinstance(model, RewritingModel):
                model.check_resumable(checkpoint['state_dict'])
            checkpoint = _load_checkpoint_to_model(
                model, checkpoint, strict, revise_keys=revise_keys)
        except CheckpointError as error:
            raise CheckpointError(f'{filename}: {error}') from None
        lost = [] if not self._resume else [
            key for key in model.state_dict()
            if key not in checkpoint['state_dict']
            and not key.endswith('num_batches_tracked')
        ]
        if lost:
            raise CheckpointError(
                f'{filename} does not fit the model: it lacks {lost[0]} '
                f'({len(lost)} weight(s)); resume by the config of the run')
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def resume(self,
               filename: str,
               resume_optimizer: bool = True,
               resume_param_scheduler: bool = True,
               map_location: Optional[Union[str, Callable]] = 'cpu') -> None:
        """Resume; see :class:`~mmengine.runner.Runner`."""
        filename = str(filename)
        if self._found is None or self._found[0] != filename:
            self._found = self._read_checkpoint(self.work_dir, filename,
                                                self.logger)
        schedulers = self._found[1].get('param_schedulers')
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        if self.param_schedulers is not None:
            self.param_schedulers = self.build_param_scheduler(
                self.param_schedulers)
        if 'optimizer' not in self._found[1]:
            self.logger.warning(f'{filename} holds no state of the optimiser, '
                                'which starts anew')
        fit = FitCheck(self.optim_wrapper, self.param_schedulers)
        try:
            super().resume(filename, resume_optimizer, resume_param_scheduler,
                           map_location or 'cpu')
            if self._states is not None:
                self.validation_is_open = not self._states['validated']
                restore_tensors(self.model, self._states)
        except MMKDError:
            raise
        except Exception as error:  # of parts that take all on trust
            lines = str(error).strip().splitlines() or ['']
            raise CheckpointError(
                f'{filename} cannot be resumed: {type(error).__name__}: '
                f'{lines[0]}; resume by the config of the run') from error
        fit.check(schedulers if resume_param_scheduler else None, filename)
        check_finite(self.model, filename, 'the model')
        for hook in self._hooks:
            if isinstance(hook, EMAHook):
                check_finite(hook.ema_model, filename, 'the average')
        self._states = None

    # --------------------------------------------------------------- saving

    def save_checkpoint(self,
                        out_dir: str,
                        filename: str,
                        file_client_args: Optional[dict] = None,
                        save_optimizer: bool = True,
                        *args: Any,
                        **kwargs: Any) -> None:
        """Save a checkpoint, completely or not at all; see
        :class:`~mmengine.runner.Runner`.

        All processes have to call it, as :class:`~mmengine.hooks
        .CheckpointHook` does, unless the optimizer is left out.

        Raises:
            CheckpointError: If it cannot be written. Earlier checkpoints are
                kept.
        """
        if save_optimizer and self._resume_hook in self._hooks:
            self._resume_hook.states = gather_states(
                self.model, self.train_dataloader,
                self._resume_hook.random_state(), self._resume_hook.validating)
        given = (file_client_args, save_optimizer, *args)
        target = osp.join(out_dir, filename)
        try:
            if '://' in out_dir:  # not a local folder
                super().save_checkpoint(out_dir, filename, *given, **kwargs)
                return
            if is_main_process():
                discard(f'{target}.part')  # a link would be followed
            super().save_checkpoint(out_dir, f'{filename}.part', *given,
                                    **kwargs)
            if is_main_process():
                publish(f'{target}.part', target)
        except OSError as error:
            discard(f'{target}.part')
            last = last_checkpoint(self.work_dir)
            raise CheckpointError(
                f'the checkpoint {target} cannot be written '
                f'({error.strerror or error}); ' +
                (f'the last complete one is {last}: make room, and continue '
                 'from it with --resume' if last else 'there is none yet')
            ) from error
        finally:
            self._resume_hook.states = None


def _length(train_cfg: Any) -> Tuple[Optional[int], bool]:
    """How long a config trains, and whether that is in epochs."""
    if isinstance(train_cfg, dict):
        for name in ('max_iters', 'max_epochs'):
            if isinstance(train_cfg.get(name), int):
                return train_cfg[name], name == 'max_epochs'
    return None, False
