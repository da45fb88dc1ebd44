"""Running a command: errors in one line, and exit codes."""
import errno
import os
import re
import signal
import sys
import traceback
from contextlib import contextmanager
from typing import Any, Callable, Iterator, NoReturn, Optional

from mmkd.errors import MMKDError, NonFiniteLossError

#: Exit codes. 0 means success, 128 + N that signal N ended the command.
FAILED, BAD_INPUT = 1, 2
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def run(main: Callable[[], Optional[int]], resumes: bool = False) -> None:
    """Run a command and exit with its code.

    For an :class:`~mmkd.errors.MMKDError`, only the messages are printed,
    one line each; with ``MMKD_TRACE=1`` in the environment, the traceback
    comes first. Other
    errors are raised, so that Python prints their traceback and exits with 1.

    Args:
        main (Callable): The command; returns its exit code, or None for 0.
        resumes (bool): Whether it has ``--resume``, which messages then name.
            Defaults to False.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            # Names of files need not be text.
            stream.reconfigure(errors='backslashreplace')
    try:
        with _signals_interrupt():
            code = main() or 0
            sys.stdout.flush()
            sys.exit(code)
    except BrokenPipeError:
        # The reader, such as `head`, has gone. Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except (MMKDError, OSError, RuntimeError, EOFError) as error:
        if hasattr(signal, 'SIGCHLD'):
            # Torch's handler would raise again while a message is printed.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # First, as a killed worker may be noticed while a file is read, and
        # the error then names that file.
        reason = _reason(error, ', then continue with --resume' * resumes)
        if reason is not None:
            _fail(FAILED, reason)
        if not isinstance(error, MMKDError):
            raise
        failed = isinstance(error, NonFiniteLossError) or getattr(
            error.__cause__, 'errno', None) in _DISK_FULL
        _fail(FAILED if failed else BAD_INPUT, *error.lines)
    except KeyboardInterrupt as interrupt:
        print(
            'interrupted' +
            '; --resume continues from the last checkpoint' * resumes,
            file=sys.stderr)
        number = interrupt.args[0] if interrupt.args else signal.SIGINT
        sys.exit(128 + number)


def _fail(code: int, *messages: str) -> NoReturn:
    """End with messages of a line each, within an ``except``."""
    if os.environ.get('MMKD_TRACE'):
        traceback.print_exc()
    for message in messages:
        print(f'error: {" ".join(message.split())}', file=sys.stderr)
    sys.exit(code)


def _reason(error: Exception, then: str) -> Optional[str]:
    """One line for an error of the system, with what to do then; None for any
    other."""
    number, text = getattr(error, 'errno', None), str(error)
    if number in _DISK_FULL:
        return f'{error}; make room{then}'
    # Other processes pass on errors as text.
    if number in (errno.EMFILE, errno.ENFILE) or ('Too many open files' in text
                                                  or 'ancdata' in text):
        return ('too many open files; raise the limit by `ulimit -n 65536`, '
                f'or load data with fewer `num_workers`{then}')
    killed = re.search(
        r'DataLoader worker.*(exited unexpectedly|is killed by '
        r'signal: [\w ]+)', text)
    if killed or _hung_up(error):
        how = killed[1] if killed else 'ended'
        return (f'a process that loads data {how}, as when memory runs '
                f'out; use fewer `num_workers` or smaller batches{then}')
    gone = (errno.ENOENT, errno.ESTALE, errno.EIO, errno.EROFS)
    if number in gone and getattr(error, 'filename', None):
        return f'{error}; was it removed, or is its disk gone?'
    return None


def _hung_up(error: Exception) -> bool:
    """Whether another process of the run ended while it sent data."""
    return isinstance(
        error,
        (ConnectionResetError, ConnectionRefusedError, EOFError)) and any(
            'multiprocessing' in frame.filename
            for frame in traceback.extract_tb(error.__traceback__))


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the command as Ctrl-C does."""
    process, before = os.getpid(), {}

    def interrupt(number: int, frame: Any) -> None:
        if os.getpid() != process:  # a worker that inherits this
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise KeyboardInterrupt(number)

    for name in ('SIGTERM', 'SIGHUP'):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        # `nohup` ignores it.
        if number and signal.getsignal(number) == signal.SIG_DFL:
            before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
