"""Errors that a user can act on.

The command-line tools print them as one or two lines without a trace; code
may catch :class:`MMKDError` for all of them.
"""


class MMKDError(Exception):
    """Base of all errors that name their cause and the way out."""


class ConfigError(MMKDError, ValueError):
    """A config asks for something that cannot be built or trained."""


class TapError(MMKDError, RuntimeError):
    """A tap names no module, never fires, or fires more than expected."""


class CheckpointError(MMKDError, RuntimeError):
    """A checkpoint is missing, broken, unsafe, or of another network."""


class NonFiniteLossError(MMKDError, FloatingPointError):
    """A loss became NaN or infinite while training."""


class BrokenCheckpointError(CheckpointError):
    """A checkpoint is truncated or damaged, or no checkpoint at all."""


class DataError(MMKDError, RuntimeError):
    """A file of the data is broken, or holds what cannot be used."""

    def __init__(self, message: str) -> None:
        # From a worker of a data loader comes the whole trace as text.
        super().__init__(message.rpartition('DataError: ')[2].strip())
