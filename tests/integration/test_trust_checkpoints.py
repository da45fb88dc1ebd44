"""The short forms of what `make trust` tries with checkpoints."""
import json
from pathlib import Path

import pytest

from acceptance import common, run


def test_killed_while_saving(tmp_path, capsys):
    from acceptance import resume
    out = tmp_path / 'resume.json'
    assert resume.main(['--short', '--moments', '2', '--out',
                        str(out)]) == 0, capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result['moments_killed'] == result['moments_survived'] == 2
    assert result['short'] and result['passed'] == result['tried'] == 2
    assert 'resume: 2 tried, 2 passed' in capsys.readouterr().out


def test_files_that_want_more(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    from acceptance import pickles
    out = tmp_path / 'pickles.json'
    assert pickles.main(['--short', '--out', str(out)]) == 0, \
        capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result['files_refused'] == result['files'] > 80
    assert result['tries'] > 2 * result['files']
    said = {case['case']: case.get('said') for case in result['cases']}
    assert 'posix.system' in said['os.system']
    assert 'functools.partial' in said['partial']
    assert 'attribute __init__ of mmengine' in said['getattr to globals']


def test_a_case_that_fails_is_told(tmp_path, capsys):
    args = common.make_parser('x', 'Tries.').parse_args(
        ['--short', '--out', str(tmp_path / 'x.json')])
    cases = [dict(case='a', passed=True), dict(case='b', passed=False)]
    assert common.finish(args, cases, figure=3) == 1
    said = capsys.readouterr().out
    assert "FAILED {'case': 'b'" in said and 'x: 2 tried, 1 passed' in said
    result = json.loads((tmp_path / 'x.json').read_text())
    assert result['figure'] == 3 and result['cases'] == cases
    args = common.make_parser('x', 'Tries.').parse_args(['--short'])
    assert common.finish(args, cases[:1]) == 0  # and nothing is stored
    assert 'written' not in capsys.readouterr().out
    assert common.finish(args, []) == 1


@pytest.mark.parametrize('codes', [(0, 0), (0, 3)])
def test_all_scripts_run(monkeypatch, capsys, codes):
    commands = []

    class Done:

        def __init__(self, command, **kwargs):
            commands.append(command)
            self.returncode = codes[len(commands) - 1]

    monkeypatch.setattr(run.subprocess, 'run', Done)
    status = run.main(['--short', '--only', 'pickles', 'resume'])
    assert status == (1 if any(codes) else 0)
    assert [Path(c[3]).name for c in commands] == ['pickles.py', 'resume.py']
    assert all(command[-1] == '--short' for command in commands)
    assert ('not as promised: resume'
            if any(codes) else 'all as promised') in capsys.readouterr().out


@pytest.mark.parametrize('name, least', [('resume', 25), ('pickles', 90)])
def test_stored_tables(name, least):
    """The figures that docs/reliability.md quotes: the long forms."""
    result = json.loads((common.RESULTS / f'{name}.json').read_text())
    assert not result['short']
    assert result['passed'] == result['tried'] == len(result['cases']) >= least
    assert all(case['passed'] for case in result['cases'])
