# Copyright (c) mmkd contributors. All rights reserved.
"""Running commands of the set-up, with a log and short messages."""
import re
import subprocess
import sys

FULL_DISK = ('the disk is full; MMKD_CACHE=/other/folder puts the environment '
             'elsewhere')
# Lines of pip and of build_mmcv.py that are worth showing.
PROGRESS = re.compile(r'\s*(Downloading \S+ \((?:[\d.]+ GB|\d\d[\d.]* MB)\)|'
                      r'Installing collected packages|mmcv: .*)')
# Patterns in a log, and the messages for the user.
REASONS = {
    r'connection broken by|Could not fetch URL|Max retries exceeded|'
    r'Read timed out':
    'the package index is out of reach',
    r'No space left on device':
    FULL_DISK,
    r'DO NOT MATCH THE HASHES[^\n]*\n +(\S+)':
    r'\1 is not the file whose hash lock.txt lists',
    r'Hashes are required[^\n]*\n +(\S+)':
    r'lock.txt has no hash of \1',
}


class SetupError(Exception):
    """The set-up cannot continue; the text is one line for the user."""


def say(text):
    """Print a line of progress (stdout is kept for answers)."""
    print(f'mmkd: {text}', file=sys.stderr, flush=True)


def run(command, what, log_path, environ, pass_fds=()):
    """Run a command; its output goes to a log, its progress is shown.

    Args:
        command (list): The command.
        what (str): What it does, in words.
        log_path (Path): The log; output is appended.
        environ (dict): Its environment variables.
        pass_fds (tuple[int]): Open files that the command inherits.

    Raises:
        SetupError: If it fails; the message gives the reason in one line.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    tail = []
    with open(
            log_path, 'a', encoding='utf-8') as log, subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors='replace',
                pass_fds=pass_fds,
                env=environ) as process:
        try:
            for line in process.stdout:
                log.write(line)
                log.flush()
                tail = [*tail[-15:], line.rstrip()]
                match = PROGRESS.match(line)
                if match:  # without addresses
                    say('  ' + re.sub(r' \S*/', ' ', match[1]))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        text = '\n'.join(tail)
        reason = next(
            (match.expand(reason)
             for match, reason in ((re.search(pattern, text), reason)
                                   for pattern, reason in REASONS.items())
             if match), None)
        if reason is None:
            print(text, file=sys.stderr)
            reason = next(
                (line for line in tail if re.match('(?i)error', line)),
                f'exit code {process.returncode}')
        raise SetupError(f'failed at "{what}": {reason}; all output is in '
                         f'{log_path}, run make again to resume')
