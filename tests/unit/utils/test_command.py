import errno
import shlex
import subprocess
import sys

import pytest

from mmkd.errors import ConfigError, DataError, NonFiniteLossError
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
            run(tool)
        text = capsys.readouterr().err
        assert text.splitlines()[-1] == "error: a part: KeyError: 'x'"
        assert ('Traceback' in text) is trace


def test_a_line_for_each_problem(capsys):

    def tool():
        raise DataError('a.png: is\nempty', 'b.png: is empty')

    with pytest.raises(SystemExit) as stop:
        run(tool)
    assert stop.value.code == 2
    assert capsys.readouterr().err == ('error: a.png: is empty\n'
                                       'error: b.png: is empty\n')


def test_a_full_disk_ends_a_command(capsys):

    def full():
        raise OSError(errno.ENOSPC, 'No space left on device', 'log.json')

    with pytest.raises(SystemExit) as stop:
        run(full)
    assert stop.value.code == 1
    said = capsys.readouterr().err
    assert 'No space left on device' in said and '--resume' in said
    assert 'log.json' in said and len(said.splitlines()) == 1

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
