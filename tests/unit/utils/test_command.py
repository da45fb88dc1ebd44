import errno

import pytest

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


def test_a_full_disk_ends_a_command(capsys):

    def full():
        raise OSError(errno.ENOSPC, 'No space left on device', 'log.json')

    with pytest.raises(SystemExit) as stop:
        run(full)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert 'No space left on device' in said and '--resume' in said
    assert 'log.json' in said and len(said.splitlines()) == 1

    def other():
        raise PermissionError(errno.EACCES, 'Permission denied')

    with pytest.raises(PermissionError):
        run(other)
