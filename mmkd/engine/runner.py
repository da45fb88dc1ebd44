"""mmengine's runner, for runs that are stopped and files from elsewhere."""
import glob
import os
import os.path as osp
import re
from contextlib import nullcontext
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from mmengine.dist import (all_gather_object, get_rank, get_world_size,
                           is_main_process)
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS, DefaultScope
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Priority
from mmengine.runner.checkpoint import (_load_checkpoint,
                                        _load_checkpoint_to_model)
from torch import nn

from mmkd.engine.building import NamingRunner
from mmkd.engine.data_loader import ResumableLoader
from mmkd.engine.hooks.checkpoint_hook import SafeCheckpointHook
from mmkd.engine.hooks.resume_hook import STATE_KEY, ResumeHook
from mmkd.errors import BrokenCheckpointError, CheckpointError
from mmkd.utils.checkpoint import read_as_data, read_file
from mmkd.utils.files import discard, only_trainer, publish


def last_checkpoint(folder: str) -> Optional[str]:
    """The checkpoint to go on from, also where the note of it is damaged.

    Args:
        folder (str): Work folder of a run.

    Returns:
        str | None: Path of the checkpoint; None if there is none.
    """
    return next(iter(checkpoints(folder)), None)


def checkpoints(folder: str) -> List[str]:
    """The checkpoints of a run, the last one first.

    The note ``last_checkpoint`` says which is the last one, unless a later
    file has come since. Files of higher numbers that are older than the note
    are of another run in the same folder, and come last.

    Args:
        folder (str): Its work folder.

    Returns:
        list[str]: Their paths.
    """
    noted, written = _noted_checkpoint(folder)
    numbered = {}
    for place in {folder, osp.dirname(noted) if noted else folder}:
        for path in glob.glob(osp.join(glob.escape(place), '*.pth')):
            match = re.fullmatch(r'(?:iter|epoch)_(\d+)\.pth',
                                 osp.basename(path))
            if match:
                numbered[path] = int(match[1])
    ordered = sorted(numbered, key=numbered.get, reverse=True)
    if noted is None:
        return ordered
    later = [
        path for path in ordered
        if path != noted and os.stat(path).st_mtime_ns > written
    ]
    limit = numbered.get(noted, float('inf'))
    before = [path for path in ordered if numbered[path] < limit]
    return list(dict.fromkeys([*later, noted, *before, *ordered]))


def _noted_checkpoint(folder: str) -> Tuple[Optional[str], int]:
    """The file that ``last_checkpoint`` names, if it is there, and when that
    was written, in nanoseconds."""
    note = osp.join(folder, 'last_checkpoint')
    if osp.isfile(note):
        with open(note, encoding='utf-8', errors='replace') as file:
            path = file.read().strip('\0\n ')
        for found in (path, osp.join(folder, osp.basename(path))):
            if osp.isfile(found):
                return found, os.stat(note).st_mtime_ns
    return None, 0


class _Advanced:
    """In place of mmengine's iterator: it asks for the batches before a
    checkpoint once more, which the loader behind has skipped."""

    def __init__(self, iterator: Iterator, count: int) -> None:
        self.iterator, self.count = iterator, count

    def __iter__(self) -> '_Advanced':
        return self

    def __next__(self) -> Any:
        if self.count:
            self.count -= 1
            return None
        return next(self.iterator)


@RUNNERS.register_module()
class DistillationRunner(NamingRunner):
    """mmengine's runner, for runs that are stopped and files from elsewhere.

    A run that is resumed ends as one that was never stopped, bit for bit on
    a CPU: beside what mmengine saves, a checkpoint has the random state of
    each process and of its workers, the place in the data, and gradients
    that wait for more (:class:`~mmkd.engine.data_loader.ResumableLoader`,
    :class:`~mmkd.engine.hooks.ResumeHook`). Without a seed in the config, the
    run goes on with the one that it drew.

    A checkpoint appears under its name when it is on the disk. If the last
    one is broken nevertheless, ``--resume`` takes the one before. Checkpoints
    are read as weights and plain data, whoever loads them, and the config
    that one carries along stays text; mmengine 0.10 executes it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Whether a validation may be due from before the checkpoint.
        self.validation_is_open = False
        self._resume_hook = ResumeHook()
        self._found: Optional[Tuple[str, dict]] = None
        self._states: Optional[dict] = None
        read_as_data()
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
            return super().train()

    def val(self) -> Dict[str, float]:
        """Validate; see :class:`~mmengine.runner.Runner`."""
        self._become_current()
        return super().val()

    def test(self) -> Dict[str, float]:
        """Test; see :class:`~mmengine.runner.Runner`."""
        self._become_current()
        return super().test()

    def _become_current(self) -> None:
        """Take the process's message hub, log and scope back from a runner
        that was built later."""
        for manager in (MessageHub, MMLogger, DefaultScope):
            if self.experiment_name in manager._instance_dict:
                manager._instance_dict.move_to_end(self.experiment_name)

    def build_model(self, model: Union[nn.Module, dict]) -> nn.Module:
        """Build the model, with the seed of the checkpoint if the run is to
        go on; see :class:`~mmengine.runner.Runner`."""
        if self._resume:
            self._find_checkpoint()
        return super().build_model(model)

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
        """Read what to go on from, before anything is built."""
        if self._load_from is not None:
            if '://' in str(self._load_from):
                return
            self._found = str(self._load_from), read_file(self._load_from)
        else:
            self._found = self._last_whole_checkpoint()
            if self._found is None:
                return
            self._load_from = self._found[0]
        content = self._found[1]
        content = content if isinstance(content, dict) else {}
        seed = (content.get('meta') or {}).get('seed')
        given = self._randomness_cfg.get('seed')
        if seed is not None and seed != given:
            # The order of the data hangs on it, and what is not trained.
            if given is not None:
                self.logger.warning(
                    f'the run goes on with the seed of its checkpoint, {seed};'
                    f' the config has {given}')
            self._randomness_cfg['seed'] = seed
            self.set_randomness(**self._randomness_cfg)

    def _last_whole_checkpoint(self) -> Optional[Tuple[str, dict]]:
        """The last checkpoint of the work folder that can be read.

        Raises:
            CheckpointError: If there are some, and all are broken.
        """
        broken = []
        for path in checkpoints(self.work_dir):
            try:
                content = read_file(path)
            except BrokenCheckpointError as error:
                self.logger.warning(f'{error}; the one before is tried')
                broken.append(path)
                continue
            if broken:
                self.logger.warning(f'the run goes on from {path}, the last '
                                    'checkpoint that is whole')
            return path, content
        if broken:
            raise CheckpointError(
                f'no checkpoint in {self.work_dir} is whole ({broken[0]} is '
                'the last one); remove them to start anew')
        return None

    def _own_state(self, states: Optional[dict]) -> Optional[dict]:
        """What a checkpoint says of this process."""
        if states is None or states['processes'][0]['loader'] is None:
            return None
        if len(states['processes']) == get_world_size():
            return states['processes'][get_rank()]
        self.logger.warning(
            f'the checkpoint is of {len(states["processes"])} process(es), '
            f'and this run has {get_world_size()}: it goes on after as many '
            'batches, but not bit for bit as it would have')
        return dict(states['processes'][0], random=None)

    def build_train_loop(self, loop: Union[BaseLoop, dict]) -> BaseLoop:
        """Build the training loop; see :class:`~mmengine.runner.Runner`."""
        configured = self._train_dataloader
        if isinstance(loop, BaseLoop) or not isinstance(configured, dict):
            return super().build_train_loop(loop)
        loader = ResumableLoader.of(
            self.build_dataloader(
                configured,
                seed=self.seed,
                diff_rank_seed=self._randomness_cfg.get(
                    'diff_rank_seed', False)))
        content = self._found[1] if self._found else {}
        state = self._own_state(content.get(STATE_KEY))
        if state is not None:
            loader.take_up(state['loader'], state['random'])
        # The config stays where others read the batch size.
        self._train_dataloader = loader
        try:
            loop = super().build_train_loop(loop)
        finally:
            self._train_dataloader = configured
        if state is not None and isinstance(loop, IterBasedTrainLoop):
            iterator = loop.dataloader_iterator
            iterator._epoch = state['loader']['passes']
            loop.dataloader_iterator = _Advanced(iterator,
                                                 content['meta']['iter'])
        return loop

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
            checkpoint = _load_checkpoint_to_model(
                model, checkpoint, strict, revise_keys=revise_keys)
        except CheckpointError as error:
            raise CheckpointError(f'{filename}: {error}') from None
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def resume(self,
               filename: str,
               resume_optimizer: bool = True,
               resume_param_scheduler: bool = True,
               map_location: Optional[Union[str, Callable]] = 'cpu') -> None:
        """Resume; see :class:`~mmengine.runner.Runner`."""
        try:
            super().resume(filename, resume_optimizer, resume_param_scheduler,
                           map_location or 'cpu')
        except KeyError as error:
            raise CheckpointError(
                f'{filename} is no checkpoint of a run to resume (it has no '
                f'{error}); `load_from` without `resume` starts from its '
                'weights') from error
        if self._states is None:
            return
        self.validation_is_open = not self._states['validated']
        if len(self._states['processes']) == get_world_size():
            self._set_own_tensors(**self._states['processes'][get_rank()])
        self._states = None

    # --------------------------------------------------------------- saving

    def save_checkpoint(self,
                        out_dir: str,
                        filename: str,
                        file_client_args: Optional[dict] = None,
                        save_optimizer: bool = True,
                        *args: Any,
                        **kwargs: Any) -> None:
        """Save a checkpoint, which is whole or absent; see
        :class:`~mmengine.runner.Runner`.

        All processes have to call it, as :class:`~mmengine.hooks
        .CheckpointHook` does, unless the optimiser is left out.

        Raises:
            CheckpointError: If it cannot be written. Those before stay.
        """
        if save_optimizer and self._resume_hook in self._hooks:
            self._resume_hook.states = self._gather_states()
        given = (file_client_args, save_optimizer, *args)
        target = osp.join(out_dir, filename)
        try:
            if '://' in out_dir:  # not a local folder
                super().save_checkpoint(out_dir, filename, *given, **kwargs)
                return
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
                (f'the last one that is whole is {last}: make room, and go on '
                 'from it with --resume' if last else 'there is none yet')
            ) from error
        finally:
            self._resume_hook.states = None

    def _gather_states(self) -> dict:
        """What a checkpoint needs of each process to go on bit for bit."""
        loader = self.train_dataloader  # a built one is as the user built it
        gradients = [
            None if parameter.grad is None else parameter.grad.cpu()
            for parameter in self.model.parameters()
        ]
        own = dict(
            random=self._resume_hook.random_state(),
            loader=loader.place()
            if isinstance(loader, ResumableLoader) else None,
            # Some wait for the next iterations, where they accumulate.
            gradients=None if all(g is None for g in gradients) else gradients,
            # Running statistics are each process's own.
            buffers=[buffer.cpu() for buffer in self.model.buffers()]
            if get_world_size() > 1 else None)
        return dict(
            processes=all_gather_object(own),
            validated=self._resume_hook.validating)

    def _set_own_tensors(self,
                         gradients: Optional[list] = None,
                         buffers: Optional[list] = None,
                         **other: Any) -> None:
        """Set gradients that were waiting for those of more iterations, and
        the buffers of this process."""
        for parameter, gradient in zip(self.model.parameters(), gradients
                                       or ()):
            if gradient is not None:
                parameter.grad = gradient.to(parameter.device)
        if gradients and is_model_wrapper(self.model):
            # As DDP is after an iteration in which it shared nothing.
            self.model.require_forward_param_sync = False
        for buffer, own in zip(self.model.buffers(), buffers or ()):
            buffer.copy_(own)
