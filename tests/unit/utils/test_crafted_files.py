"""Files made to break, stall or take over their reader."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmkd.errors import CheckpointError
from mmkd.utils.checkpoint import read_checkpoint
from tests.fixtures.crafted_files import crafted

ROOT = Path(__file__).resolve().parents[3]
FILES = crafted()
MIB = 1 << 20
#: What the reader takes, and torch does not.
ALONE = {
    'frame_zero.pth': 'protocol 4',
    'memoize_often.pth': 'protocol 4',
    'numpy_metadata.pth': 'an array, whose metadata are left out',
    'other_plain_pickle.pth': 'a pickle alone',
    'parameter_state.pth': 'attributes of parameters are left out',
    'string_not_ascii.pth': 'texts of Python 2',
    'tensor_grad_number.pth': 'any number for true',
    'zip_alignment_odd.pth': 'the record is not needed',
    'zip_no_version.pth': 'the record is not needed',
    'zip_version_zero.pth': 'the record is not needed',
}


def worker(folder, names):
    """Outcomes of the names that one process got through."""
    done = subprocess.run([
        sys.executable, 'tests/fixtures/read_crafted.py',
        str(folder), *names
    ],
                          cwd=ROOT,
                          env=dict(
                              os.environ,
                              PYTHONPATH=str(ROOT),
                              OMP_NUM_THREADS='1'),
                          capture_output=True,
                          text=True)
    found = {}
    for line in done.stdout.splitlines():
        name, _, outcome = line.partition(' ')
        found[name] = json.loads(outcome)
    return found, f'{done.returncode}: {done.stderr[-2000:]}'


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('crafted')
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    found, names = {}, list(FILES)
    while names:
        some, end = worker(folder, names)
        found.update(some)
        names = names[len(some):]
        if names:  # the process died of this one
            found[names.pop(0)] = dict(outcome='ended', message=end)
    return found


def test_some_files_are_read(outcomes):
    """Or else all would be refused for the same reason."""
    for name in ('zip_good.pth', 'legacy_good.pth', 'good.safetensors',
                 'tensor_stride_transposed.pth', 'zip_private_records.pth',
                 'escape_as_key.pth', 'spaces.safetensors'):
        assert outcomes[name]['outcome'] == 'read'


@pytest.fixture
def odd(tmp_path):
    """Paths of what is no regular file."""
    os.mkfifo(tmp_path / 'pipe.pth')
    (tmp_path / 'folder.pth').mkdir()
    targets = dict(
        zero='/dev/zero',
        null='/dev/null',
        memory='/proc/self/mem',
        pipe2='pipe.pth',
        nowhere='nowhere')
    for name, target in targets.items():
        (tmp_path / f'{name}.pth').symlink_to(target)
    (tmp_path / 'loop.pth').symlink_to('loop.pth')
    return sorted(tmp_path.iterdir())


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_what_is_no_file_is_refused(odd, suffix):
    for path in odd:
        path = path.rename(path.with_suffix(suffix))
        with pytest.raises(CheckpointError) as error:
            read_checkpoint(str(path))
        assert str(error.value).isprintable()


@pytest.mark.parametrize('name', FILES)
def test_file_is_refused_or_read_as_torch_reads_it(outcomes, name):
    found = outcomes[name]
    size = len(FILES[name])
    allowed = ('read alone', ) if name in ALONE else ('read', 'refused')
    assert found['outcome'] in allowed, found['message']
    assert found['message'].isprintable() and len(found['message']) < 1000
    assert found['actions'] == []
    # As data, then again as weights.
    assert max(found['seconds']) <= size / MIB + 0.5
    assert found['peak'] <= max(64 * MIB, 3 * size)
