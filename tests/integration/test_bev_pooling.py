"""The benchmark of pooling, on small maps."""
import importlib.util
import json
import sys
from pathlib import Path

import torch

BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'


def test_all_ways_give_the_same(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'path', [str(BENCHMARKS), *sys.path])
    spec = importlib.util.spec_from_file_location(
        'bev_pooling', BENCHMARKS / 'bev_pooling.py')
    script = importlib.util.module_from_spec(spec)
    # Other processes find what they shall run by this name.
    monkeypatch.setitem(sys.modules, 'bev_pooling', script)
    spec.loader.exec_module(script)
    torch.ones(1, requires_grad=True).backward()  # forks must not mind
    out = tmp_path / 'bev_pooling.json'
    script.main([
        '--channels', '4', '--image', '64', '96', '--rounds', '1',
        '--no-growth', '--out',
        str(out)
    ])
    found = json.loads(out.read_text())
    assert [row['way'] for row in found['ways']] == list(script.WAYS)
    for row in found['ways']:
        assert row['entries'] > 0 and row['forward_seconds'] >= 0
    for way, gaps in found['largest_relative_differences'].items():
        assert way != 'lifted'
        assert max(gaps.values()) < 1e-5, way
    assert 'extra' in capsys.readouterr().out
