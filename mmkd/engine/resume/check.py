"""What a checkpoint must hold to be resumed, checked before any of it is used.

mmengine takes the numbers of a file on trust: a loop that is told to skip
``10**18`` batches does, and one that is at iteration NaN ends at once.
"""
import math
import random
from typing import Any, Callable, Dict, Optional

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor

from mmkd.engine.resume.state import STATE_KEY
from mmkd.errors import CheckpointError
from mmkd.utils.finite import not_finite

#: More iterations than any run has.
LIMIT = 10**12

#: What was expected where nothing is.
MISSING = 'there'

#: Checks a value, whose place in the file is the second argument.
Check = Callable[[Any, str], None]


class Wrong(Exception):
    """A value of a checkpoint that cannot be used, and what was expected."""

    def __init__(self, value: Any, where: str, expected: str) -> None:
        shown = f'a {type(value).__name__}'
        if value is None or isinstance(value, (str, int, float)):
            shown = ascii(value)
            shown = f'{shown[:40]}...' if len(shown) > 43 else shown
        place = ascii(where)[1:-1][:100]  # its keys are from the file, too
        super().__init__(f'`{place}` is missing' if expected ==
                         MISSING else f'`{place}` is {shown}, not {expected}')


def check_resumable(content: Any, path: str, last: Optional[int],
                    by_epoch: bool) -> None:
    """Check that a run can be resumed from what a checkpoint holds.

    Args:
        content (Any): What the file holds.
        path (str): The file, for messages.
        last (int, optional): Iterations, or epochs, of the config; None if
            they are not known.
        by_epoch (bool): Whether they are epochs.

    Raises:
        CheckpointError: If a part is missing, of another type, out of range,
            or at odds with the config.
    """
    if not isinstance(content, dict) or 'meta' not in content:
        raise CheckpointError(
            f'{path} is no checkpoint of a run to resume (it has no `meta`); '
            '`load_from` without `resume` starts from its weights')
    try:
        _record(
            dict(
                meta=_record(
                    dict(
                        iter=_whole(0, LIMIT if by_epoch else last),
                        epoch=_whole(0, last if by_epoch else None)),
                    dict(
                        seed=_maybe(_whole(0, 2**32 - 1)),
                        cfg=is_text,
                        experiment_name=is_text,
                        time=is_text,
                        mmengine_version=is_text,
                        dataset_meta=_maybe(_dataset_meta))),
                state_dict=_weights))(content, '')
        done = content['meta']['iter']
        _whole(0, done)(content['meta']['epoch'], 'meta.epoch')
        _record(
            dict(message_hub=_message_hub(done)), {
                'optimizer': _optimizers(done),
                'param_schedulers': _schedulers,
                'ema_state_dict': _weights,
                STATE_KEY: _processes(done)
            })(content, '')
        for key in content.get('ema_state_dict', ()):
            key = key.partition('module.')[2]
            if key and key not in content['state_dict']:
                raise Wrong(None, f'state_dict.{key}', MISSING)
    except Wrong as error:
        raise CheckpointError(f'{path} cannot be resumed: {error}; resume '
                              'from an earlier checkpoint, or start from its '
                              'weights by `load_from` alone') from None


# ------------------------------------------------------------------- values


def _anything(value: Any, where: str) -> None:
    """Data that nothing depends on."""


def _any_of(expected: str, *kinds: type) -> Check:

    def check(value: Any, where: str) -> None:
        if not isinstance(value, kinds):
            raise Wrong(value, where, expected)

    return check


is_text = _any_of('a text', str)
_flag = _any_of('True or False', bool)


def _maybe(inner: Check) -> Check:

    def check(value: Any, where: str) -> None:
        if value is not None:
            inner(value, where)

    return check


def _whole(low: int, high: Optional[int] = None) -> Check:
    high = LIMIT if high is None else high

    def check(value: Any, where: str) -> None:
        if type(value) is not int or not low <= value <= high:
            raise Wrong(value, where, f'a whole number from {low} to {high}')

    return check


def is_number(value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(
            value, (int, float, np.number)) or math.isnan(value):
        raise Wrong(value, where, 'a number')


def _tensor(value: Any, where: str, finite: bool = True) -> None:
    if not isinstance(value, Tensor):
        raise Wrong(value, where, 'a tensor')
    if not_finite(value, only_nan=not finite):
        raise Wrong(value, where, 'one of finite numbers')


def _record(needed: Dict[str, Check],
            optional: Optional[Dict[str, Check]] = None,
            others: Check = _anything) -> Check:
    known = {**needed, **(optional or {})}

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise Wrong(value, where, 'a dict')
        lead = f'{where}.' if where else ''
        for key in needed:
            if key not in value:
                raise Wrong(None, f'{lead}{key}', MISSING)
        for key, item in value.items():
            known.get(key, others)(item, f'{lead}{key}')

    return check


is_record = _record({})


def _each(inner: Check) -> Check:

    def check(value: Any, where: str) -> None:
        if not isinstance(value, (list, tuple)):
            raise Wrong(value, where, 'a list')
        for i, item in enumerate(value):
            inner(item, f'{where}[{i}]')

    return check


is_list = _each(_anything)


def _dataset_meta(value: Any, where: str) -> None:
    """That of a data set, or of each part of mmdet's ``ConcatDataset``."""
    (_each(is_record) if isinstance(value, list) else is_record)(value, where)


# -------------------------------------------------------- parts of the file


def _weights(value: Any, where: str) -> None:
    is_record(value, where)
    for key, tensor in value.items():
        is_text(key, f'a key of {where}')
        if not key.endswith('_extra_state'):
            # Masks of attention may hold infinity.
            _tensor(tensor, f'{where}.{key}', finite=False)


def _message_hub(done: int) -> Check:
    steps = _whole(0, max(done, 1))
    return _record(
        dict(
            log_scalars=_record({}, others=_history),
            runtime_info=_record({},
                                 dict(
                                     iter=steps,
                                     epoch=steps,
                                     max_iters=_whole(0),
                                     max_epochs=_whole(0),
                                     seed=_maybe(_whole(0, 2**32 - 1)),
                                     eta=is_number,
                                     cfg=is_text,
                                     experiment_name=is_text,
                                     mmengine_version=is_text,
                                     loop_stage=_maybe(is_text),
                                     dataset_meta=_maybe(_dataset_meta),
                                     last_ckpt=_maybe(is_text),
                                     best_ckpt=_maybe(is_text),
                                     keep_ckpt_ids=_each(steps),
                                     mmkd_shares=_each(_shares)),
                                 others=_best),
            resumed_keys=_record({}, others=_flag)))


def _best(value: Any, where: str) -> None:
    name = where.rpartition('runtime_info.')[2]
    if name.startswith('best_score'):
        is_number(value, where)
    elif name.startswith('best_ckpt'):
        _maybe(is_text)(value, where)


def _shares(value: Any, where: str) -> None:
    """A measurement of SharesHook."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise Wrong(value, where, 'an iteration and its shares')
    _whole(0)(value[0], f'{where}[0]')
    _record({}, others=is_number)(value[1], f'{where}[1]')


def _history(value: Any, where: str) -> None:
    if not isinstance(value, HistoryBuffer):
        raise Wrong(value, where, 'a history of numbers')
    inside = vars(value)
    _whole(1)(inside.get('max_length'), f'{where}.max_length')
    lengths = set()
    for name in ('_log_history', '_count_history'):
        numbers = inside.get(name)
        if not isinstance(numbers, np.ndarray) or (
                numbers.ndim != 1 or numbers.dtype.kind not in 'biuf'):
            raise Wrong(numbers, f'{where}.{name}', 'a row of numbers')
        lengths.add(len(numbers))
    if len(lengths) > 1:
        raise Wrong(value, where, 'as many numbers as counts')


def _optimizers(done: int) -> Check:
    state = _record({}, dict(step=_steps(done)), others=_optimizer_value)
    single = _record(
        dict(
            state=_record({}, others=state),
            param_groups=_each(
                _record(dict(params=_each(_whole(0)), lr=_optimizer_value)))),
        dict(loss_scaler=_record({}, others=_optimizer_value)))

    def check(value: Any, where: str) -> None:
        is_record(value, where)
        # mmengine's wrapper of several holds one for each name.
        several = 'param_groups' not in value and value and all(
            isinstance(item, dict) and 'param_groups' in item
            for item in value.values())
        for name, part in (value.items() if several else [('', value)]):
            place = f'{where}.{name}' if name else where
            single(part, place)
            for key in part['state']:
                _whole(0)(key, f'a key of {place}.state')

    return check


def _steps(done: int) -> Check:
    """Updates that an optimiser has made, at most one an iteration."""

    def check(value: Any, where: str) -> None:
        number = value
        if isinstance(value, Tensor) and value.numel() == 1:
            number = value.item()
        is_number(number, where)
        if not 0 <= number <= done or number != int(number):
            raise Wrong(number, where, f'a whole number from 0 to {done}')

    return check


def _schedulers(value: Any, where: str) -> None:
    several = value if isinstance(value, dict) else {'': value}
    for name, part in several.items():
        _each(is_record)(part, f'{where}.{name}' if name else where)


def _optimizer_value(value: Any, where: str) -> None:
    if isinstance(value, Tensor):
        _tensor(value, where)
    elif value is not None:
        is_number(value, where)
        if not math.isfinite(value):
            raise Wrong(value, where, 'finite')


def _processes(done: int) -> Check:
    used = _whole(0, done)
    made_by = _record(
        dict(
            samples=_whole(0),
            batch_size=_maybe(_whole(1)),
            workers=_whole(0),
            persistent=_flag))
    loader = _record(
        dict(
            passes=used,
            batches=used,
            changing=_each(is_text),
            states=_record({}, others=_generators),
            made_by=made_by))
    process = _record(
        dict(
            random=_generators,
            loader=_maybe(loader),
            gradients=_maybe(_each(_maybe(_tensor))),
            buffers=_maybe(_each(_any_of('a tensor', Tensor)))))

    def check(value: Any, where: str) -> None:
        _record(dict(processes=_each(process), validated=_flag))(value, where)
        if not value['processes']:
            raise Wrong(value['processes'], f'{where}.processes', 'filled')

    return check


def _generators(value: Any, where: str) -> None:
    """States of random number generators, tried on others of the kind."""
    tensor = _any_of('a tensor', Tensor)
    _record(
        dict(
            python=_any_of('a state', tuple),
            numpy=_anything,
            torch=tensor,
            cuda=_maybe(tensor)))(value, where)
    tries = dict(
        python=random.Random().setstate,
        numpy=_try_numpy,
        torch=torch.Generator().set_state)
    for name, attempt in tries.items():
        try:
            attempt(value[name])
        except Exception:  # they raise whatever they stumble over
            raise Wrong(
                value.get(name), f'{where}.{name}',
                f'a state of a generator of {name}') from None


def _try_numpy(state: Any) -> None:
    kind, keys, position, has_gauss, gauss = state
    # numpy checks none of these, and reads outside of its keys.
    assert kind == 'MT19937' and len(keys) == 624
    assert type(position) is int and 0 <= position <= 624
    assert has_gauss in (0, 1) and math.isfinite(gauss)
    np.random.RandomState().set_state(state)
