"""The benchmark of PointDistiller's cost, on a smaller scan."""
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'
SIZE = dict(scans=1, pillars=4000, centres=1000, neighbours=16, channels=16)


def measure(what, budget):
    output = subprocess.run([
        sys.executable,
        str(BENCHMARKS / 'graph_cost.py'), '--case',
        json.dumps(dict(what=what, budget=budget, size=SIZE))
    ],
                            check=True,
                            stdout=subprocess.PIPE,
                            text=True).stdout
    return json.loads(output.splitlines()[-1])


def test_the_search_keeps_to_its_budget():
    spec = importlib.util.spec_from_file_location('graph_cost',
                                                  BENCHMARKS / 'graph_cost.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = measure('search', 1)
    # All pairs would take 15 MiB.
    assert found['budget_mib'] == 1 and found['extra_mib'] < 10
    assert 0 < found['seconds']
    result = json.loads((BENCHMARKS / 'results/graph_cost.json').read_text())
    assert result['size'] == dict(
        scans=2, pillars=16000, centres=6000, neighbours=128, channels=64)
    assert result['budget_kept']
    for case in result['search']:
        assert case['extra_mib'] <= case['budget_mib'] + module.BESIDE
