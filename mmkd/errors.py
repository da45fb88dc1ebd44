"""Errors that a user can act on.

The command-line tools print them as one or two lines without a traceback.
Catch :class:`MMKDError` to handle all of them.
"""
from typing import Tuple


class MMKDError(Exception):
    """Base class of errors that name their cause and a remedy.

    Args:
        *lines (str): What is wrong, one thing a line.
    """

    @property
    def lines(self) -> Tuple[str, ...]:
        """All messages."""
        return tuple(map(str, self.args))

    def __str__(self) -> str:
        return '\n'.join(self.lines)


class UsageError(MMKDError, ValueError):
    """A command is called with the wrong arguments."""


class ConfigError(MMKDError, ValueError):
    """A config cannot be built or trained."""


class MismatchError(ConfigError):
    """A method cannot serve these networks."""


class TapError(MMKDError, RuntimeError):
    """A tap names no module, never fires, or fires more than expected."""


class CheckpointError(MMKDError, RuntimeError):
    """A checkpoint is missing, broken, unsafe, or belongs to another
    network."""


class NonFiniteLossError(MMKDError, FloatingPointError):
    """A loss became NaN or infinite during training."""


class BrokenCheckpointError(CheckpointError):
    """A file is a truncated or damaged checkpoint, or not a checkpoint."""


class DataError(MMKDError, RuntimeError):
    """A data file is broken or has unusable content.

    Args:
        message (str): What is wrong.
        *others (str): What else is wrong.
    """

    def __init__(self, message: str, *others: str) -> None:
        # A data loader worker passes on the whole traceback as text.
        super().__init__(message.rpartition('DataError: ')[2].strip(), *others)
