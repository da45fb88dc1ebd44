"""The benchmark of ACAM-KD's memory, on smaller maps."""
import importlib.util
import json
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'


def load():
    spec = importlib.util.spec_from_file_location(
        'acam_memory', BENCHMARKS / 'acam_memory.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_quadratic_is_held():
    found = load().measure([(64, 64)], 16, None)
    pairs = 4096**2 * 4 / 2**30
    assert 0 <= found['extra_gib'] < 0.5 * pairs
    assert found['forward_seconds'] > 0 and found['backward_seconds'] > 0


def test_the_stored_figures_keep_the_bound():
    result = json.loads((BENCHMARKS / 'results/acam_memory.json').read_text())
    assert result['image'] == [800, 1344] and result['channels'] == 256
    assert result['max_kv'] is None and result['batch_size'] == 1
    assert [row['case']
            for row in result['levels']] == ['P3', 'P4', 'P5', 'P6', 'P7']
    assert result['all_levels']['extra_gib'] < result['bound_gib'] == 1.5
    # Memory as the cells, time as their square.
    small, large = (
        next(row for row in result['growth'] if row['case'] == case)
        for case in ('64^2', '128^2'))
    assert 3 < large['extra_gib'] / small['extra_gib'] < 5
    assert 10 < large['backward_seconds'] / small['backward_seconds'] < 24
