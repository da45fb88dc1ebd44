"""Keeping the random state of the student's run as it is."""
import random
from contextlib import contextmanager
from typing import Any, Dict, Iterator

import numpy as np
import torch


@contextmanager
def preserve_rng() -> Iterator[None]:
    """Restore the random state of python, numpy and torch on exit.

    Building teachers and connectors draws random numbers. Doing so in this
    context leaves the student with the very numbers that plain training
    gives it.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def random_state(devices: bool = True) -> Dict[str, Any]:
    """The random state of python, numpy, torch and its devices.

    Args:
        devices (bool): Whether to ask the GPU, which processes that were
            forked to load data must not. Defaults to True.
    """
    cuda = devices and torch.cuda.is_available()
    return dict(
        python=random.getstate(),
        numpy=np.random.get_state(),
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state() if cuda else None)


def set_random_state(state: Dict[str, Any]) -> None:
    """Go back to what :func:`random_state` gave."""
    random.setstate(state['python'])
    np.random.set_state(state['numpy'])
    torch.set_rng_state(state['torch'])
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'])
