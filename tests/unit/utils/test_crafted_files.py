"""Files made to break, stall or take over their reader."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.crafted_files import crafted

ROOT = Path(__file__).resolve().parents[3]
FILES = crafted()
MIB = 1 << 20


def worker(folder, names):
    """Outcomes of the names that one process got through."""
    done = subprocess.run(
        [sys.executable, 'tests/fixtures/read_crafted.py',
         str(folder), *names],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'),
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


@pytest.mark.parametrize('name', FILES)
def test_file_is_refused_or_read_as_torch_reads_it(outcomes, name):
    found = outcomes[name]
    size = len(FILES[name])
    assert found['outcome'] in ('read', 'refused'), found['message']
    assert found['message'].isprintable() and len(found['message']) < 1000
    assert found['actions'] == []
    # As data, then again as weights.
    assert max(found['seconds']) <= size / MIB + 0.5
    assert found['peak'] <= max(64 * MIB, 3 * size)
