"""Running a command: errors in one line, and exit codes."""
import errno
import os
import sys
import traceback
from typing import Callable, Optional

from mmkd.errors import MMKDError, NonFiniteLossError

#: Exit codes. As for any program, 0 means success.
FAILED, BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141


def run(main: Callable[[], Optional[int]]) -> None:
    """Run a command and exit with its code.

    For an :class:`~mmkd.errors.MMKDError`, only the messages are printed,
    one line each; with ``MMKD_TRACE=1`` in the environment, the traceback
    comes first. Other
    errors are raised, so that Python prints their traceback and exits with 1.

    Args:
        main (Callable): The command; returns its exit code, or None for 0.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            # Names of files need not be text.
            stream.reconfigure(errors='backslashreplace')
    try:
        code = main() or 0
        sys.stdout.flush()
        sys.exit(code)
    except MMKDError as error:
        if os.environ.get('MMKD_TRACE'):
            traceback.print_exc()
        for message in getattr(error, 'lines', [str(error)]):
            text = ' '.join(message.split())
            print(f'error: {text}', file=sys.stderr)
        sys.exit(
            FAILED if isinstance(error, NonFiniteLossError) else BAD_INPUT)
    except BrokenPipeError:
        # The reader, such as `head`, has gone. Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f'error: {error}; make room, then continue with --resume',
            file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print(
            'interrupted; --resume continues from the last checkpoint',
            file=sys.stderr)
        sys.exit(INTERRUPTED)
