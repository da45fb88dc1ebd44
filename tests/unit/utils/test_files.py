import errno
import multiprocessing
import os
import signal
import time

import pytest

from mmkd.errors import MMKDError
from mmkd.utils.files import discard, fcntl, only_trainer, write_file


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


@pytest.mark.skipif(fcntl is None, reason='needs locks of files')
def test_only_one_process_trains_into_a_folder(tmp_path):
    folder = str(tmp_path / 'run')
    processes = multiprocessing.get_context('fork')
    begun = processes.Event()

    def train_on():
        with only_trainer(folder):
            begun.set()
            time.sleep(60)

    other = processes.Process(target=train_on)
    other.start()
    assert begun.wait(30)
    with pytest.raises(MMKDError) as info, only_trainer(folder):
        raise AssertionError('two processes train into one folder')
    assert folder in str(info.value) and '--work-dir' in str(info.value)
    assert f'process {other.pid} on ' in str(info.value)
    other.kill()
    other.join()
    with only_trainer(folder), only_trainer(folder):
        text = open(f'{folder}/.training', encoding='utf-8').read()
    assert text.startswith(f'process {os.getpid()} on ')


@pytest.mark.skipif(fcntl is None, reason='needs locks of files')
def test_worker_that_outlives_its_run_keeps_no_lock(tmp_path):
    folder = str(tmp_path)
    processes = multiprocessing.get_context('fork')
    receive, send = processes.Pipe(duplex=False)

    def train_with_a_worker():
        with only_trainer(folder):
            pid = os.fork()
            if not pid:
                time.sleep(60)
                os._exit(0)
            send.send(pid)
            os.kill(os.getpid(), signal.SIGKILL)

    run = processes.Process(target=train_with_a_worker)
    run.start()
    worker = receive.recv()
    run.join()
    os.kill(worker, 0)  # is there
    with only_trainer(folder):
        os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize('kind', ['link', 'hard link', 'text', 'pipe', 'file'])
def test_a_lock_that_is_none(tmp_path, kind):
    """What lies where the lock is to be stays as it was."""
    mine, folder = tmp_path / 'mine.txt', tmp_path / 'run'
    mine.write_text('mine')
    lock = folder / '.training'
    folder.mkdir()
    if kind == 'link':
        lock.symlink_to(mine)
    elif kind == 'hard link':
        os.link(mine, lock)
    elif kind == 'text':
        lock.write_text('mine')
    elif kind == 'pipe':
        os.mkfifo(lock)
    else:
        folder = mine
    with pytest.raises(MMKDError, match='not the lock|cannot be opened|train'):
        with only_trainer(str(folder)):
            pass
    assert mine.read_text() == 'mine'
    if kind == 'text':
        assert lock.read_text() == 'mine'


def test_a_part_that_is_a_link(tmp_path):
    mine = tmp_path / 'mine.txt'
    mine.write_text('mine')
    (tmp_path / 'a.part').symlink_to(mine)
    (tmp_path / 'b').symlink_to(mine)
    for name in 'ab':
        write_file(str(tmp_path / name), lambda file: file.write(b'new'))
        assert (tmp_path / name).read_text() == 'new'
    assert mine.read_text() == 'mine'
