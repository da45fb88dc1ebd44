import errno
import os

import pytest

from mmkd.utils.command import run
from mmkd.utils.files import discard, write_file


def test_whole_or_absent(tmp_path):
    path = str(tmp_path / 'a')
    write_file(path, lambda file: file.write(b'one'))

    def fails(file):
        file.write(b'tw')
        raise OSError(errno.ENOSPC, 'No space left on device')

    with pytest.raises(OSError):
        write_file(path, fails)
    assert os.listdir(tmp_path) == ['a']
    with open(path, 'rb') as file:
        assert file.read() == b'one'
    write_file(path, lambda file: file.write(b'three'))
    with open(path, 'rb') as file:
        assert file.read() == b'three'
    discard(path), discard(path)
    assert os.listdir(tmp_path) == []


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
