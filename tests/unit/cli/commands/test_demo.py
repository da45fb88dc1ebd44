"""The demo, without its trainings."""
import hashlib
from pathlib import Path

import pytest

from mmkd import cli
from mmkd.cli.commands import demo
from mmkd.core.teacher import Teacher
from mmkd.errors import UsageError
from mmkd.utils.config import read_config
from mmkd.utils.runs import Run

WEIGHTS = Path(__file__).resolve().parents[4] / 'configs/demo/weights'


def test_the_teacher_of_the_quick_demo():
    config, = demo.QUICK['methods'].values()
    cfg = read_config(config).model.teachers.teacher
    path = Path(cfg.ckpt)
    assert path.samefile(WEIGHTS / 'deeplabv3plus_r18w16.safetensors')
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    assert checksum in (WEIGHTS / 'README.md').read_text()
    assert len(Teacher(**cfg).classes) == 19


@pytest.mark.parametrize('quick', [True, False])
def test_plan(quick, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(Run, 'train', lambda run: trained.append(run) or run)
    monkeypatch.setattr('mmkd.apis.export_student', lambda *args: None)
    plan = demo.QUICK if quick else demo.FULL
    students = demo._train(plan, str(tmp_path), {'a.b': 'data'})
    names = ['student alone', *plan['methods']]
    assert [run.name for run in students] == names
    assert {run.iters for run in students} == {plan['student']}
    assert ('teacher' in [run.name for run in trained]) != quick
    for run in students:
        assert run.options['a.b'] == 'data'
        assert read_config(run.config).model


@pytest.mark.parametrize('iters', [2, 20, 31, 300])
def test_the_warm_up_ends_within_a_short_training(iters):
    options = Run('name', demo.STUDENT, 'work', iters).settings()
    schedule = read_config(demo.STUDENT)
    schedule.merge_from_dict(options)
    warm, decay = schedule.param_scheduler
    assert 0 < warm.end == decay.begin < decay.end == iters
    assert (warm.end == 30) == (iters > 30)


def test_too_few_iterations():
    with pytest.raises(UsageError, match='at least 2'):
        cli.call(['demo', '--iters', '1', '--data-root', 'data'])
