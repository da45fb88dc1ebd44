"""Keeping the random state of the student's run as it is."""
import random
from contextlib import contextmanager
from typing import Iterator

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
