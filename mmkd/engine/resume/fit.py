"""Whether what was resumed belongs to the parts of this run."""
import copy
import math
from typing import Any, Dict, Iterator

import numpy as np
import torch
from torch import Tensor

from mmkd.engine.resume.check import (LIMIT, MISSING, Wrong, is_list,
                                      is_number, is_record)
from mmkd.errors import CheckpointError

#: What schedules count in.
_STEPS = ('begin', 'end', 'last_step', '_global_step', 'total_iters')


class FitCheck:
    """Compares optimisers and schedules after loading with those before.

    Both take over whatever the file has: an optimiser the settings of its
    groups, a schedule all of its attributes.

    Args:
        optim_wrapper (OptimWrapper | OptimWrapperDict): As built.
        schedulers (list | dict | None): As built.
    """

    def __init__(self, optim_wrapper: Any, schedulers: Any) -> None:
        self.optimizers = [
            wrapper.optimizer
            for wrapper in getattr(optim_wrapper, 'optim_wrappers',
                                   dict(x=optim_wrapper)).values()
        ]
        self.schedulers = list(_flat(schedulers))
        self._before = copy.deepcopy(self._states())

    def check(self, saved_schedulers: Any, path: str) -> None:
        """Compare, after loading.

        Args:
            saved_schedulers (Any): ``param_schedulers`` of the file.
            path (str): The file, for messages.

        Raises:
            CheckpointError: If types, lengths, shapes or signs differ, or
                numbers are not finite.
        """
        states = self._states()
        if saved_schedulers is not None:
            # Loading adds to what a schedule has, and leaves the rest.
            states['param_schedulers'] = list(_flat(saved_schedulers))
        try:
            for name, state in states.items():
                _alike(state, self._before[name], name)
        except Wrong as error:
            raise CheckpointError(f'{path} does not fit the config: {error}; '
                                  'resume by the config of the run') from None
        for optimizer in self.optimizers:
            _check_optimizer(optimizer, path)

    def _states(self) -> Dict[str, Any]:
        return {
            'optimizer.param_groups': [[{
                key: value
                for key, value in group.items() if key != 'params'
            } for group in optimizer.param_groups]
                                       for optimizer in self.optimizers],
            'param_schedulers':
            [scheduler.state_dict() for scheduler in self.schedulers]
        }


def _flat(schedulers: Any) -> Iterator[Any]:
    """Schedules of one optimiser or of several."""
    if isinstance(schedulers, dict):
        for part in schedulers.values():
            yield from _flat(part)
    elif isinstance(schedulers, (list, tuple)):
        yield from schedulers


def _check_optimizer(optimizer: torch.optim.Optimizer, path: str) -> None:
    """Check that a loaded state is of the parameters that it belongs to.

    Raises:
        CheckpointError: If a shape differs, or a parameter lacks an entry
            that others have.
    """
    names = None
    for parameter, state in optimizer.state.items():
        if not isinstance(parameter, Tensor):
            raise CheckpointError(f'{path} does not fit the model: '
                                  '`optimizer.state` has more entries than '
                                  'the model has parameters')
        names = names or set(state)
        if set(state) != names:
            raise CheckpointError(
                f'{path} cannot be resumed: `optimizer.state` has '
                f'{sorted(names ^ set(state))} for some parameters only')
        for name, value in state.items():
            same = ('momentum_buffer', 'exp_avg', 'exp_avg_sq',
                    'max_exp_avg_sq', 'square_avg')
            if name in same and (not isinstance(value, Tensor)
                                 or value.shape != parameter.shape):
                raise CheckpointError(f'{path} does not fit the model: '
                                      f'`{name}` in `optimizer.state` is not '
                                      'of the shape of its parameter')


def _alike(saved: Any, own: Any, where: str) -> None:
    if isinstance(own, dict):
        is_record(saved, where)
        for key in own:
            if key not in saved:
                raise Wrong(None, f'{where}.{key}', MISSING)
            _alike(saved[key], own[key], f'{where}.{key}')
    elif isinstance(own, (list, tuple)):
        is_list(saved, where)
        if len(saved) != len(own):
            raise Wrong(saved, where, f'of length {len(own)}')
        for i, pair in enumerate(zip(saved, own)):
            _alike(*pair, f'{where}[{i}]')
    elif own is None:
        if saved is not None and not isinstance(saved, bool):
            _number_alike(saved, 0., where)
    elif isinstance(own, (bool, str)):
        if type(saved) is not type(own) or saved != own:
            raise Wrong(saved, where, repr(own))
    elif isinstance(own, (int, float, np.number, Tensor)):
        _number_alike(saved, own, where)


def _number_alike(saved: Any, own: Any, where: str) -> None:
    saved, own = (
        value.item()
        if isinstance(value, Tensor) and value.numel() == 1 else value
        for value in (saved, own))
    if isinstance(own, Tensor):
        return
    is_number(saved, where)
    key = where.rpartition('.')[2]
    if math.isinf(saved) and not math.isinf(own):
        raise Wrong(saved, where, 'finite')
    if key in _STEPS and isinstance(own, int) and not isinstance(saved, int):
        raise Wrong(saved, where, 'a whole number')
    if saved < min(own, 0) or isinstance(own, int) and saved > LIMIT or (
            key.startswith('betas[') and saved >= 1):
        raise Wrong(saved, where, f'like {own}')
