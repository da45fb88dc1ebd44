"""Saving and restoring RNG states."""
import random
from contextlib import contextmanager
from typing import Any, Dict, Iterator

import numpy as np
import torch


@contextmanager
def preserve_rng() -> Iterator[None]:
    """Context that saves and restores the RNG state of Python, NumPy and
    torch.

    Building teachers and connectors draws random numbers. In this context,
    the student still gets the same random numbers as in plain training.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def random_state(devices: bool = True) -> Dict[str, Any]:
    """Get the RNG state of Python, NumPy, torch and its devices.

    Args:
        devices (bool): Whether to include the GPU, which forked data loader
            workers must not access. Defaults to True.
    """
    cuda = devices and torch.cuda.is_available()
    return dict(
        python=random.getstate(),
        numpy=np.random.get_state(),
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state() if cuda else None)


def set_random_state(state: Dict[str, Any]) -> None:
    """Restore a state from :func:`random_state`."""
    random.setstate(state['python'])
    np.random.set_state(state['numpy'])
    torch.set_rng_state(state['torch'])
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'])
