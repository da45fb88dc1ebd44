"""The short forms of benchmarks/trust_processes.py and trust_soak.py."""
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize('name', ['processes', 'soak'])
def test_short_form(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    script = __import__(f'trust_{name}')
    out = tmp_path / 'table.json'
    status = script.main(['--short', '--out', str(out)])
    table = json.loads(out.read_text())
    assert status == 0 and table['passed'] == table['tried'], table['cases']
    cases = {case['case']: case for case in table['cases']}
    if name == 'processes':
        # The gradient of two processes is that of one with both samples.
        assert cases['method: fgd']['equal']
        assert 'NaN in one process: skip' in cases
    else:
        assert set(cases) == {'mebibytes', 'files', 'threads'}
        assert cases['files']['growth'] == cases['threads']['growth'] == 0
        assert table['trainings'] == 6
    sys.modules.pop(f'trust_{name}')
