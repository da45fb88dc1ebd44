import json

import pytest

from mmkd.errors import ConfigError
from mmkd.report.comparison import as_json, compare
from mmkd.report.runs import read_run


@pytest.fixture(scope='module')
def compared(runs):
    return compare(runs, images=1)


def test_groups_gains_and_teacher(compared):
    assert [group.name for group in compared.groups] == ['alone', 'CWD']
    assert compared.metric == 'mIoU' and compared.notes == []
    found = compared.gain(compared.best, 'mIoU')
    assert found.paired and found.seeds == 2 and found.error is not None
    # The teacher is the student of seed 0, trained alone.
    base = compared.baseline.evaluations[0]
    assert compared.teachers['teacher'].metrics == base.metrics
    change = compared.gain_of_part(compared.best, 'per_class', 'road')
    assert change.seeds == 2
    assert compared.gain_of_part(compared.best, 'per_class', 'train') is None
    assert list(compared.pictures[0].panels)[-1] == 'teacher'


def test_json(compared):
    content = json.loads(json.dumps(as_json(compared)))
    base, other = content['groups']
    assert [run['seed'] for run in base['runs']] == [0, 1]
    assert other['gain']['mIoU']['seeds'] == 2 and other['settings'] == []
    cost = content['teachers']['teacher']['cost']
    assert base['runs'][0]['cost']['flops'] == cost['flops']
    assert 'panels' not in content['images'][0]


def test_logs_alone(runs):
    found = compare(runs[:2], test=False)
    assert found.split is None and found.pictures == []
    value = read_run(runs[1]).validation['mIoU'].values[-1]
    assert found.groups[1].metrics()[0]['mIoU'] == value


def test_wrong_input(runs, tmp_path):
    with pytest.raises(ConfigError, match='two runs'):
        compare([runs[0], runs[0]])
    with pytest.raises(ConfigError, match='Did you mean mIoU'):
        compare(runs[:2], test=False, metric='miou')
    with pytest.raises(ConfigError, match='no folder'):
        compare([runs[0], str(tmp_path / 'gone')])
