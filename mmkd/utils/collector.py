"""Pausing Python's garbage collector."""
import gc
from contextlib import contextmanager
from typing import Iterator


@contextmanager
def paused_collector() -> Iterator[None]:
    """Context in which Python does not look for cycles of garbage.

    Imports, configs and index files make millions of objects that stay, among
    which the collector searches again and again. If a library asks for a
    search, it covers what was made in the context only.
    """
    collects = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if collects:
            gc.enable()
