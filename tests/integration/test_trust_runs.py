"""The short forms of acceptance/processes.py and soak.py."""
import importlib
import json

import pytest


@pytest.mark.parametrize('name', ['processes', 'soak'])
def test_short_form(name, tmp_path):
    script = importlib.import_module(f'acceptance.{name}')
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
