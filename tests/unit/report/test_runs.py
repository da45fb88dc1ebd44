import json

import pytest

from mmkd.errors import ConfigError
from mmkd.report.runs import read_run


def write_log(folder, attempt, rows, config='model = dict()\n'):
    data = folder / attempt / 'vis_data'
    data.mkdir(parents=True)
    (data / 'config.py').write_text(config)
    (data / 'scalars.json').write_text(''.join(
        row if isinstance(row, str) else json.dumps(row) + '\n'
        for row in rows))


def step(number, loss, **more):
    return dict(loss=loss, time=0.5, step=number, iter=number, **more)


def test_a_run_of_mmkd(runs):
    run = read_run(runs[1])
    assert run.seed == 0 and run.iterations == 4
    assert list(run.distillers) == ['cwd']
    assert run.checkpoint.endswith('iter_4.pth')
    assert run.validation['mIoU'].iters == [2, 4]
    assert run.task_loss.iters == [1, 2, 3, 4]
    assert list(run.distillation_losses) == ['cwd.loss']
    assert list(run.shares) == ['cwd', 'task']
    assert sum(curve.values[0] for curve in run.shares.values()) \
        == pytest.approx(1, abs=1e-3)
    assert run.seconds > 0 and run.memory > 50  # MiB
    assert read_run(runs[0]).distillers == {}


def test_attempts_are_joined(tmp_path):
    write_log(
        tmp_path, '20260101_000000',
        [step(10, 3., memory=100),
         step(20, 2., memory=300), '{"loss": 1'])
    write_log(tmp_path, '20260101_000001', [
        step(20, 1.5, memory=200),
        dict(mIoU=7., time=1, step=25),
    ])
    # A test in the same folder.
    write_log(tmp_path, '20260101_000002', [dict(mIoU=9., step=0)])
    run = read_run(str(tmp_path))
    assert run.task_loss.iters == [10, 20]
    assert run.task_loss.values == [3., 1.5]
    assert run.validation['mIoU'].values == [7.]
    assert run.seconds == pytest.approx(12.5) and run.iterations == 25
    assert run.memory == 200 or run.memory == 300


def test_validations_of_epochs_are_placed_by_iteration(tmp_path):
    write_log(tmp_path, 'a', [
        step(50, 3., epoch=1), {
            'coco/bbox_mAP': 0.1,
            'step': 1
        },
        step(100, 2., epoch=2), {
            'coco/bbox_mAP': 0.2,
            'step': 2
        }
    ])
    assert read_run(
        str(tmp_path)).validation['coco/bbox_mAP'].iters == [50, 100]


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(ConfigError, match='is not the work folder of a run'):
        read_run(str(tmp_path))
    with pytest.raises(ConfigError, match='there is no folder'):
        read_run(str(tmp_path / 'gone'))
    (tmp_path / 'a.pth').touch()
    with pytest.raises(ConfigError, match='is a file; give the work folder'):
        read_run(str(tmp_path / 'a.pth'))
