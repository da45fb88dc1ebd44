"""Comparing the checkpoints of two runs."""
from typing import Any, Iterator

import torch

#: Entries of a checkpoint that differ between equal runs: times, paths, #:
#: versions.
APART = ('meta.time', 'meta.cfg', 'meta.experiment_name',
         'meta.mmengine_version', 'message_hub.runtime_info.mmengine_version',
         'message_hub.log_scalars.train/time',
         'message_hub.log_scalars.train/data_time',
         'message_hub.log_scalars.val/time',
         'message_hub.log_scalars.val/data_time',
         'message_hub.log_scalars.train/memory',
         'message_hub.runtime_info.cfg',
         'message_hub.runtime_info.experiment_name',
         'message_hub.runtime_info.last_ckpt',
         'message_hub.runtime_info.best_ckpt')


def differences(first: Any, second: Any, path: str = '') -> Iterator[str]:
    """Find bitwise differences between two checkpoints.

    Times, paths and versions are ignored.

    Args:
        first (Any): Content of one checkpoint.
        second (Any): Content of the other checkpoint.
        path (str): Path of both within the checkpoints. Defaults to ``''``.

    Yields:
        str: Path of a value.
    """
    if path in APART:
        return
    if type(first) is not type(second):
        yield path
    elif isinstance(first, dict):
        yield from (f'{path}.{key}' for key in set(first) ^ set(second))
        for key in first:
            if key in second:
                yield from differences(first[key], second[key],
                                       f'{path}.{key}'.lstrip('.'))
    elif isinstance(first, (list, tuple)):
        if len(first) != len(second):
            yield path
        for i, pair in enumerate(zip(first, second)):
            yield from differences(*pair, f'{path}[{i}]')
    elif torch.is_tensor(first):
        if not torch.equal(first, second):
            yield path
    elif hasattr(first, '__array__'):
        if first.dtype != second.dtype or first.tobytes() != second.tobytes():
            yield path
    elif hasattr(first, '__dict__'):
        yield from differences(vars(first), vars(second), path)
    elif first != second and not (first != first and second != second):
        yield path
