"""The benchmark of the losses, on small maps."""
import importlib.util
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures('thaws')
BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'


def test_losses_are_those_of_the_formulas(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location('loss_time',
                                                  BENCHMARKS / 'loss_time.py')
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    out = tmp_path / 'loss_time.json'
    result = script.main([
        '--size', '96', '160', '--channels', '8', '--boxes', '5', '--rounds',
        '2', '--out',
        str(out)
    ])
    assert set(result['methods']) == {'FGD', 'MGD', 'PKD', 'CWD', 'BPKD'}
    for name, found in result['methods'].items():
        assert found['formula']['difference_of_losses'] < 1e-5, name
        assert found['formula']['difference_of_gradients'] < 1e-5, name
        assert found['formula']['ratio']['paired'] > 0
        assert all(t > 0 for t in found['cpu_seconds'].values())
        # BPKD also keeps which cells are labelled.
        kept = found['saved_mib']
        assert 0 < kept['mmkd'] <= kept['formula'] * 1.1, name
    assert list(result['bpkd_seconds_by_classes']) == [2, 4, 8, 16]
    assert json.loads(out.read_text())['boxes'] == 5
    assert 'losses differ by' in capsys.readouterr().out
