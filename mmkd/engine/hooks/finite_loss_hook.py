"""Handling of losses that are NaN or infinite."""
import logging
import math
import os
import os.path as osp
from typing import Any, Dict, List, Optional

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from mmkd.core.taps.dry_run import tensors_in
from mmkd.core.terms import summed_entries
from mmkd.errors import ConfigError, NonFiniteLossError
from mmkd.registry import HOOKS
from mmkd.utils.rng import random_state

ACTIONS = ('stop', 'skip')


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Skip the optimiser step if a loss is NaN or infinite, and name the loss.

    :func:`mmkd.apis.prepare_training` adds this hook to every run. The losses
    of an iteration are checked together, on their device; the result is read
    just before the optimiser steps, so that it does not delay the backward
    pass. If a loss is not finite, weights, buffers and the optimiser keep
    their values from before the iteration, the hook names the terms, and it
    saves what is needed to reproduce them: batch, RNG state and weights
    (:func:`mmkd.engine.replay.replay_step`). Then the run stops or continues
    with the next batch. Gradients accumulated so far are lost.

    With several processes, a non-finite loss in one of them is enough: all
    processes take the same decision and name the same terms. The processes
    with the non-finite loss save their batches.

    Args:
        action (str): ``'stop'`` or ``'skip'``. Defaults to ``'stop'``.
        max_skips (int): Maximum number of consecutive iterations to skip
            before the run stops. It stops immediately if the weights
            themselves are not finite. Defaults to 10.
        max_files (int): Maximum number of files that a process saves in a
            run; each is as large as the student and a batch. Defaults to 3.

    Raises:
        ConfigError: If an argument is invalid.
        NonFiniteLossError: During training, when the run stops.
    """
    # Runs before hooks that average or save weights.
    priority = 'HIGH'

    def __init__(self,
                 action: str = 'stop',
                 max_skips: int = 10,
                 max_files: int = 3) -> None:
        if action not in ACTIONS:
            raise ConfigError(f'FiniteLossHook: action is one of '
                              f'{", ".join(map(repr, ACTIONS))}, not '
                              f'{action!r}')
        for name, value in dict(
                max_skips=max_skips, max_files=max_files).items():
            if not isinstance(value, int) or value < 0:
                raise ConfigError(f'FiniteLossHook: {name} is a number of at '
                                  f'least 0, but got {value!r}')
        self.action = action
        self.max_skips = max_skips
        self.max_files = max_files
        #: Skipped iterations, numbered as in the log.
        self.skipped: List[int] = []
        self._in_a_row = 0
        self._files = 0
        self._handles: list = []
        self._listening = False
        self._flag: Optional[Tensor] = None
        self._work: Any = None
        self._finite: Optional[bool] = None
        self._autocast: Optional[torch.dtype] = None

    def __deepcopy__(self, memo: dict) -> 'FiniteLossHook':
        # Copies of the model, made for visualization, are not checked.
        return self

    def before_train(self, runner) -> None:
        """Attach to the model's losses and the optimisers' steps."""
        self._handles = [runner.model.register_forward_hook(self._on_losses)]
        self._handles += [
            optimizer.register_step_pre_hook(self._before_step)
            for optimizer in _optimizers(runner)
        ]
        self._buffers = list(runner.model.buffers())
        self._kept = [torch.empty_like(buffer) for buffer in self._buffers]

    def after_train(self, runner) -> None:
        """Detach from the model and the optimisers."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def before_train_iter(self,
                          runner,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """Save the state that this iteration may change."""
        self._random = random_state()
        if self._buffers:
            torch._foreach_copy_(self._kept, self._buffers)
        self._flag = self._work = self._finite = None
        self._listening = True

    def _on_losses(self, model: nn.Module, args: tuple, output: Any) -> None:
        """Check the losses without waiting for the device."""
        if not self._listening or not isinstance(output, dict):
            return
        losses = [
            loss.detach().reshape(-1).float()
            for value in summed_entries(output).values()
            for loss in tensors_in(value)
        ]
        if not losses:
            return
        self._flag = torch.cat(losses).isfinite().all().float()
        device = self._flag.device.type
        self._autocast = torch.get_autocast_dtype(
            device) if torch.is_autocast_enabled(device) else None
        if get_world_size() > 1:
            self._work = torch.distributed.all_reduce(
                self._flag, torch.distributed.ReduceOp.MIN, async_op=True)

    def _all_finite(self) -> bool:
        """The result, shared by all processes; waits for the device once."""
        if self._finite is None:
            if self._work is not None:
                self._work.wait()
            self._finite = self._flag is None or bool(self._flag.item())
        return self._finite

    def _before_step(self, optimizer, args: tuple, kwargs: dict) -> None:
        """Remove the gradients if a loss is not finite."""
        if self._listening and not self._all_finite():
            optimizer.zero_grad(set_to_none=True)

    def after_train_iter(self,
                         runner,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Optional[Dict[str, Any]] = None) -> None:
        """Stop, or undo the iteration."""
        self._listening = False
        if self._all_finite():
            self._in_a_row = 0
            return
        for optimizer in _optimizers(runner):
            optimizer.zero_grad(set_to_none=True)
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._kept)
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        broken = [
            name for name, value in model.state_dict().items()
            if value.is_floating_point() and not value.isfinite().all()
        ]
        self._in_a_row += 1
        stop = (
            self.action == 'stop' or bool(broken)
            or self._in_a_row > self.max_skips)
        message = self._describe(runner, model, data_batch, outputs or {},
                                 broken)
        if stop:
            if self.action == 'skip' and not broken:
                message += (f' This happened in {self._in_a_row} iterations '
                            'in a row.')
            elif not broken:
                message += (" To skip such batches: custom_hooks=[dict("
                            "type='mmkd.FiniteLossHook', action='skip')].")
            print_log(message, 'current', logging.ERROR)
            raise NonFiniteLossError(message)
        self.skipped.append(runner.iter + 1)
        print_log(f'{message} The iteration is skipped.', 'current',
                  logging.WARNING)

    def _describe(self, runner, model: nn.Module, data_batch: Any,
                  outputs: Dict[str, Any], broken: List[str]) -> str:
        """Describe what was not finite, and save it in the processes
        concerned."""
        terms = {
            name: float(value.detach())
            for name, value in summed_entries(outputs).items()
            if name != 'loss'
        }
        bad = [
            f'{name} is {value}{_method(model, name)}'
            for name, value in terms.items() if not math.isfinite(value)
        ]
        found = None
        if bad:
            inputs = data_batch.get('inputs') if isinstance(
                data_batch, dict) else data_batch
            if not all(x.isfinite().all() for x in tensors_in(inputs)):
                bad.append('the input itself also has such values')
            found = (get_rank(), bad, _files_of(data_batch),
                     self._save(runner, model, data_batch, terms))
        parts = []
        for rank, bad, files, saved in filter(None, all_gather_object(found)):
            on = f'process {rank}: ' if get_world_size() > 1 else ''
            parts.append(f'{on}{", ".join(bad[:6])}'
                         f'{" (batch: " + files + ")" if files else ""}; '
                         f'{saved}')
        if broken:
            parts.append(
                f'{len(broken)} of the weights were not finite before this '
                f'iteration, {broken[0]} among them: the gradients of the '
                'one before were not, although its losses were; a lower '
                'learning rate or `optim_wrapper.clip_grad` may help')
        return (f'iteration {runner.iter + 1}: {"; ".join(parts)}. '
                'No step was taken.')

    def _save(self, runner, model: nn.Module, data_batch: Any,
              terms: Dict[str, float]) -> str:
        """Save what reproduces the losses; returns a text that says where."""
        if self._files >= self.max_files:
            return 'not saved, as `max_files` were'
        path = osp.join(runner.work_dir, 'non_finite',
                        f'iter_{runner.iter + 1}_rank{get_rank()}.pth')
        try:
            os.makedirs(osp.dirname(path), exist_ok=True)
            torch.save(
                dict(
                    iter=runner.iter,
                    max_iters=runner.max_iters,
                    terms=terms,
                    autocast=self._autocast,
                    random_state=self._random,
                    state_dict=model.state_dict(),
                    batch=data_batch), path)
        except (OSError, RuntimeError) as error:
            return f'could not be saved in {path} ({error})'
        self._files += 1
        return f'batch, random state and weights are in {path}'


def _optimizers(runner) -> list:
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper,
                                              OptimWrapperDict) else [wrapper]
    return [each.optimizer for each in wrappers]


def _method(model: nn.Module, term: str) -> str:
    """The class of the distiller that a term belongs to, in brackets."""
    distillers = getattr(model, 'distillers', {})
    name = term.split('.')[0]
    return f' ({type(distillers[name]).__name__})' if name in distillers \
        else ''


def _files_of(data_batch: Any) -> str:
    """Names of the first files of a batch, if its samples have them."""
    samples = data_batch.get('data_samples') if isinstance(data_batch,
                                                           dict) else None
    names = []
    for sample in samples or []:
        meta = getattr(sample, 'metainfo', {})
        path = meta.get('img_path') or meta.get('lidar_path')
        path = path[0] if isinstance(path, (list, tuple)) and path else path
        if isinstance(path, str) and path:
            names.append(path)
    more = ', ...' if len(names) > 4 else ''
    return ', '.join(names[:4]) + more
