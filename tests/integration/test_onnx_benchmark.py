"""The benchmark of ONNX: its committed results, and its table."""
import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def script():
    spec = importlib.util.spec_from_file_location(
        'onnx_export', ROOT / 'benchmarks/onnx_export.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def networks():
    path = ROOT / 'benchmarks/results/onnx_export.json'
    return json.loads(path.read_text(encoding='utf-8'))['networks']


def test_ten_families_of_each_library_are_the_same(networks):
    for library in ('mmdet', 'mmseg'):
        same = {
            config.split('/')[0]
            for config, found in networks.items() if config.startswith(library)
            and 'error' not in found and found['difference'] <= 1e-4
        }
        assert len(same) >= 10, (library, same)


def test_every_measured_network_is_in_the_list(script, networks):
    assert set(networks) == set(script.CONFIGS)


def test_the_page_has_the_table(script, networks):
    page = (ROOT / 'docs/deployment.md').read_text(encoding='utf-8')
    assert script.with_table(page, script.table(networks)) == page


def test_why_a_network_is_not_exported(script):
    line = script.table({'a.py': dict(error='x as ONNX differs from PyTorch')})
    assert line.splitlines()[-1] == (
        '| `a.py` | | not exported: the results differ | | |')
