"""What a run prints; its log file has everything."""
import logging
import re

from mmengine.logging import MMLogger

#: Messages that fill screens: mmengine's environment, config and list of
#: hooks, KITTI's tables (:class:`~mmkd.engine.hooks.ConsoleHook` prints a
#: summary).
_LONG = re.compile(r'\n-{60}\n|Config:\n|Hooks will be executed|'
                   r'Results of pred_instances')
#: Warnings of mmengine that no user can act on.
_NOISE = re.compile(r'The prefix is not set in metric class|'
                    r'"(FileClient|HardDiskBackend)" |'
                    r'Failed to search registry with scope|'
                    r'\S+ is duplicate\. It is skipped|'
                    r'\S+ is skipped since its requires_grad=False')
_METRICS = re.compile(r'(Epoch|Iter)\((val|test)\)')
#: Metrics that a validation may print on one line.
MAX_METRICS = 40


class ConsoleFilter(logging.Filter):
    """Keeps long messages off the console, and all but warnings until
    :attr:`open` is set.

    Attributes:
        open (bool): Whether training, validation or testing has begun.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to print a record."""
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            return not _NOISE.match(message)
        return self.open and not _LONG.match(message) and not (
            _METRICS.match(message) and message.count(': ') > MAX_METRICS)


def filter_console(logger: MMLogger) -> None:
    """Filter what a logger prints, unless it prints debug messages."""
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler
                          ) and handler.level > logging.DEBUG and not any(
                              isinstance(x, ConsoleFilter)
                              for x in handler.filters):
            handler.addFilter(ConsoleFilter())


def open_console(logger: MMLogger) -> None:
    """Print what is logged from now on."""
    for handler in logger.handlers:
        for each in handler.filters:
            if isinstance(each, ConsoleFilter):
                each.open = True
