import errno
import multiprocessing
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from mmkd.errors import (CheckpointError, ConfigError, DataError,
                         NonFiniteLossError)
from mmkd.utils.arguments import error_context
from mmkd.utils.command import run


def test_trace_on_demand(capsys, monkeypatch):

    def tool():
        with error_context('a part'):
            dict()['x']

    for trace in (False, True):
        if trace:
            monkeypatch.setenv('MMKD_TRACE', '1')
        with pytest.raises(SystemExit):
            run(tool, resumes=True)
        text = capsys.readouterr().err
        assert text.splitlines()[-1] == "error: a part: KeyError: 'x'"
        assert ('Traceback' in text) is trace


def test_a_line_for_each_problem(capsys):

    def tool():
        raise DataError('a.png: is\nempty', 'b.png: is empty')

    with pytest.raises(SystemExit) as stop:
        run(tool, resumes=True)
    assert stop.value.code == 2
    assert capsys.readouterr().err == ('error: a.png: is empty\n'
                                       'error: b.png: is empty\n')


def test_a_full_disk_ends_a_command(capsys):

    def full():
        raise OSError(errno.ENOSPC, 'No space left on device', 'log.json')

    with pytest.raises(SystemExit) as stop:
        run(full, resumes=True)
    assert stop.value.code == 1
    said = capsys.readouterr().err
    assert 'No space left on device' in said and '--resume' in said
    assert 'log.json' in said and len(said.splitlines()) == 1

    def checkpoint():
        try:
            full()
        except OSError as error:
            raise CheckpointError('a.pth cannot be written') from error

    with pytest.raises(SystemExit) as stop:
        run(checkpoint)
    assert stop.value.code == 1
    assert capsys.readouterr().err == 'error: a.pth cannot be written\n'

    def other():
        raise PermissionError(errno.EACCES, 'Permission denied')

    with pytest.raises(PermissionError):
        run(other)


@pytest.mark.parametrize('error, code', [
    (ConfigError('no such config'), 2),
    (NonFiniteLossError('the loss is nan'), 1),
    (KeyboardInterrupt(), 130),
])
def test_exit_codes(error, code, capsys):

    def main():
        raise error

    with pytest.raises(SystemExit) as stop:
        run(main)
    assert stop.value.code == code
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_code_of_a_command_is_kept():
    for returned, code in ((None, 0), (0, 0), (1, 1)):
        with pytest.raises(SystemExit) as stop:
            run(lambda returned=returned: returned)
        assert stop.value.code == code


def test_a_reader_that_goes_is_no_error():
    code = ('from mmkd.utils.command import run\n'
            'run(lambda: print("line\\n" * 100000))')
    done = subprocess.run(
        f'{shlex.quote(sys.executable)} -c {shlex.quote(code)} | head -1; '
        'exit ${PIPESTATUS[0]}',
        shell=True,
        executable='/bin/bash',
        capture_output=True,
        text=True)
    assert (done.returncode, done.stderr) == (141, '')


def test_a_worker_that_ends_while_it_sends(capsys):
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    with pytest.raises(SystemExit) as stop:
        run(ours.recv)
    assert stop.value.code == 1
    assert 'a process that loads data ended' in capsys.readouterr().err
    with pytest.raises(ConnectionResetError):  # of anything else
        run(_reset)


def _reset():
    raise ConnectionResetError(errno.ECONNRESET, 'Connection reset by peer')


@pytest.mark.parametrize('error, said', [
    (OSError(errno.EMFILE, 'Too many open files'), 'ulimit -n'),
    (OSError('Caught OSError in DataLoader worker process 0.\nTraceback\n'
             'OSError: [Errno 24] Too many open files'), 'ulimit -n'),
    (RuntimeError('received 0 items of ancdata'), 'ulimit -n'),
    (RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed. '),
     'is killed by signal: Killed, as when memory runs out'),
    (DataError('a.png: LoadAnnotations: RuntimeError: DataLoader worker '
               '(pid 7) is killed by signal: Killed.'), 'num_workers'),
    (RuntimeError('DataLoader worker (pid(s) 7) exited unexpectedly'),
     'exited unexpectedly'),
    (FileNotFoundError(errno.ENOENT, 'No such file',
                       'work_dirs/x/log.json'), 'log.json.*was it removed'),
])
def test_errors_of_the_system(capsys, error, said):

    def tool():
        raise error

    with pytest.raises(SystemExit) as stop:
        run(tool, resumes=True)
    assert stop.value.code == 1
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 1 and re.search(said, text)


@pytest.mark.parametrize('error', [RuntimeError('x'), FileNotFoundError()])
def test_other_errors(error):

    def tool():
        raise error

    with pytest.raises(type(error)):
        run(tool, resumes=True)


@pytest.mark.parametrize('resumes', [True, False])
@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM', 'SIGHUP'])
def test_signals(capsys, name, resumes):
    number = getattr(signal, name)
    # A test run in the background may have been started to ignore SIGINT.
    before = signal.default_int_handler if name == 'SIGINT' else signal.SIG_DFL
    started_with = signal.signal(number, before)

    def tool():
        os.kill(os.getpid(), number)
        time.sleep(10)

    try:
        with pytest.raises(SystemExit) as stop:
            run(tool, resumes=resumes)
        assert signal.getsignal(number) == before
    finally:
        signal.signal(number, started_with)
    assert stop.value.code == 128 + number
    assert capsys.readouterr().err == (
        'interrupted; --resume continues from the last checkpoint\n'
        if resumes else 'interrupted\n')


def test_signals_of_workers(capfd):
    """A worker that is ended does not speak for the command."""

    processes = multiprocessing.get_context('fork')

    def tool():
        begun = processes.Event()
        worker = processes.Process(
            target=lambda: (begun.set(), time.sleep(30)))
        worker.start()
        begun.wait()  # Python loses signals in the middle of a fork
        worker.terminate()
        worker.join()
        return worker.exitcode + signal.SIGTERM

    with pytest.raises(SystemExit) as stop:
        run(tool, resumes=True)
    assert stop.value.code == 0 and capfd.readouterr().err == ''


def test_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as stop:
            run(lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert stop.value.code == 0
    finally:
        signal.signal(signal.SIGHUP, before)
