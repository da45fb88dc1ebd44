"""Running a command; separate from :mod:`mmkd.cli`, which imports torch."""
import errno
import os
import sys
import traceback
from typing import Callable, Optional

from mmkd.errors import MMKDError


def run(main: Callable[[], Optional[int]]) -> None:
    """Run a tool; for a :class:`MMKDError`, only the message is printed.

    With ``MMKD_TRACE=1`` in the environment, the traceback is printed first.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            # Names of files need not be text.
            stream.reconfigure(errors='backslashreplace')
    try:
        sys.exit(main() or 0)
    except MMKDError as error:
        if os.environ.get('MMKD_TRACE'):
            traceback.print_exc()
        text = ' '.join(str(error).split())
        print(f'error: {text}', file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f'error: {error}; make room, then continue with --resume',
            file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(
            'interrupted; --resume continues from the last checkpoint',
            file=sys.stderr)
        sys.exit(130)
