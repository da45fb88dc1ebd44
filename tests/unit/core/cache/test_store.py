import errno
import os
import signal

import pytest
import torch

from mmkd.core.cache import store as module
from mmkd.core.cache.records import Stored
from mmkd.core.cache.store import Store, bytes_in, is_own
from mmkd.errors import ConfigError


def key(number):
    return bytes([number]) * 16


def record(number):
    generator = torch.Generator().manual_seed(number)
    return [
        Stored.encode(torch.randn(shape, generator=generator), 'int8')
        for shape in [(1, 3, 4, 5), (1, 2, 2, 2)]
    ]


def fill(folder, numbers, rank=0):
    store = Store(str(folder), rank=rank)
    for number in numbers:
        assert store.put(key(number), record(number))
    store.close()
    return store


def same(found, number):
    return all(a.decode().equal(b.decode())
               for a, b in zip(found, record(number)))


def paths(folder, suffix):
    return sorted(folder.glob(f'*{suffix}'))


def test_records_come_back(tmp_path):
    folder = tmp_path / 'c'
    writing = Store(str(folder))
    assert len(writing) == 0 and writing.get(key(0)) is None
    assert not folder.exists()
    for number in range(3):
        writing.put(key(number), record(number))
        assert same(writing.get(key(number)), number)
    writing.close()
    reading = Store(str(folder))
    assert len(reading) == 3 and key(1) in reading and key(9) not in reading
    assert all(same(reading.get(key(n)), n) for n in range(3))
    assert reading.nbytes < bytes_in(str(tmp_path))


def test_a_shard_of_its_own_for_each_process_and_gigabyte(
        tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'SHARD', 150)
    fill(tmp_path, range(3), rank=0)
    fill(tmp_path, range(3, 5), rank=1)
    ranks = [path.stem.split('-')[1] for path in paths(tmp_path, '.bin')]
    assert ranks == ['rank0'] * 2 + ['rank1']
    store = Store(str(tmp_path))
    assert all(same(store.get(key(n)), n) for n in range(5))


def test_records_of_others_are_found(tmp_path):
    store = fill(tmp_path, [0])
    fill(tmp_path, [1], rank=1)
    assert store.get(key(1)) is None
    store.refresh()
    assert same(store.get(key(1)), 1)


def test_killed_writer(tmp_path):
    child = os.fork()
    if not child:
        store = Store(str(tmp_path))
        for number in range(3):
            store.put(key(number), record(number))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    store = Store(str(tmp_path))
    assert all(same(store.get(key(n)), n) for n in range(3))


@pytest.mark.parametrize('suffix', ['.bin', '.idx'])
def test_truncated_at_any_byte(tmp_path, suffix):
    fill(tmp_path, range(3))
    path = paths(tmp_path, suffix)[0]
    whole = path.read_bytes()
    counts = []
    for size in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:size])
        store = Store(str(tmp_path))
        found = [n for n in range(3) if store.get(key(n)) is not None]
        assert found == list(range(len(found)))
        assert all(same(store.get(key(n)), n) for n in found)
        counts.append(len(found))
    assert counts[0] == 0 and sorted(counts) == counts and counts[-1] >= 2


@pytest.mark.parametrize('suffix', ['.bin', '.idx'])
def test_any_flipped_bit(tmp_path, suffix):
    fill(tmp_path, range(2))
    path = paths(tmp_path, suffix)[0]
    whole = path.read_bytes()
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) +
                         whole[place + 1:])
        store = Store(str(tmp_path))
        for number in range(2):
            found = store.get(key(number))
            assert found is None or same(found, number)


def test_a_damaged_record_is_replaced(tmp_path):
    fill(tmp_path, [0])
    path = paths(tmp_path, '.bin')[0]
    path.write_bytes(path.read_bytes()[:-1] + b'\0')
    store = Store(str(tmp_path))
    assert store.get(key(0)) is None and store.damaged == 1
    store.put(key(0), record(0))
    store.close()
    assert same(Store(str(tmp_path)).get(key(0)), 0)


@pytest.mark.parametrize('failing', ['write', 'flush'])
def test_full_disk(tmp_path, monkeypatch, failing):
    store = Store(str(tmp_path))
    store.put(key(0), record(0))
    warned = []
    monkeypatch.setattr(store, '_warn', warned.append)

    def fail(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    class Full:

        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return fail if name == failing else getattr(self.file, name)

    store._writer._records = Full(store._writer._records)
    assert not store.put(key(1), record(1))
    assert not store.put(key(2), record(2))
    assert len(warned) == 1 and 'No space left' in warned[0]
    assert same(store.get(key(0)), 0) and store.get(key(1)) is None
    assert len(Store(str(tmp_path))) == 1


def test_limit(tmp_path, monkeypatch):
    store = Store(str(tmp_path), room=300)
    warned = []
    monkeypatch.setattr(store, '_warn', warned.append)
    stored = [store.put(key(n), record(n)) for n in range(6)]
    assert stored == [True] * 3 + [False] * 3
    assert len(warned) == 1 and '`max_gb`' in warned[0]


def test_no_file_is_overwritten_or_misread(tmp_path):
    (tmp_path / 'notes.idx').write_bytes(b'my own notes, not an index')
    (tmp_path / 'big.idx').write_bytes(b'')
    (tmp_path / 'thing.bin').write_bytes(b'mine')
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    store = fill(tmp_path, range(2))
    assert len(store) == 2
    assert {path: path.read_bytes() for path in before} == before
    assert [is_own(str(path)) for path in before] == [False] * 3
    assert sum(is_own(str(path)) for path in tmp_path.iterdir()) == 2


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / 'c').write_text('')
    with pytest.raises(ConfigError, match='is a file; choose another'):
        Store(str(tmp_path / 'c'))


def test_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / 'c').write_text('')
    store = Store(str(tmp_path / 'd'))
    store.folder = str(tmp_path / 'c' / 'd')
    warned = []
    monkeypatch.setattr(store, '_warn', warned.append)
    assert not store.put(key(0), record(0)) and len(warned) == 1
