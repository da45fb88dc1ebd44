"""`mmkd distill --baseline` and `mmkd compare`, as a user calls them."""
import json
import shutil

import pytest
import torch
from mmengine.config import Config
from mmseg.visualization import SegLocalVisualizer

from mmkd import cli
from mmkd.core.network import build_network
from mmkd.errors import ConfigError
from mmkd.testing import segmentation_config, segmentor


@pytest.fixture(scope='module')
def distil(cityscapes, tmp_path_factory):
    """Arguments of a distillation of two tiny networks."""
    folder = tmp_path_factory.mktemp('distil')
    plain = segmentation_config(cityscapes, '', seed=None)
    plain.pop('work_dir')
    # As in the libraries' configs: a visualizer has this name.
    plain.visualizer = dict(
        type='SegLocalVisualizer',
        name='visualizer',
        vis_backends=[dict(type='LocalVisBackend')])
    plain.dump(str(folder / 'student.py'))
    Config(segmentor(8)).dump(str(folder / 'teacher.py'))
    teacher = build_network(segmentor(8), 'teacher')
    torch.save(
        dict(state_dict=teacher.state_dict()), str(folder / 'teacher.pth'))
    return [
        'distill',
        str(folder / 'student.py'), '--teacher',
        str(folder / 'teacher.py'), '--teacher-ckpt',
        str(folder / 'teacher.pth'), '--method', 'cwd', '--baseline',
        '--work-dir'
    ]


def call(*argv):
    """Run a command as the first one of a process."""
    SegLocalVisualizer._instance_dict.clear()
    cli.call(argv)


def weights(path):
    return torch.load(path, weights_only=False)['state_dict']


def test_baseline_and_compare(distil, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(*distil, 'work')
    work = tmp_path / 'work'
    report = json.loads((work / 'report.json').read_text())
    alone, cwd = report['groups']
    assert [run['folder']
            for run in alone['runs'] + cwd['runs']] == ['work/alone', 'work']
    assert alone['runs'][0]['seed'] == cwd['runs'][0]['seed'] == 0
    assert cwd['settings'] == []
    assert (work / 'report.html').is_file()
    assert capsys.readouterr().out.splitlines()[-2:] == [
        'work/report.html', 'work/report.json'
    ]
    with pytest.raises(ConfigError, match='work/report.html exists'):
        cli.call(
            ['compare', 'work', 'work/alone', '--out', 'work/report.html'])
    cli.call(['compare', 'work', 'work/alone', '--no-evaluate', '--quiet'])
    assert capsys.readouterr().out.splitlines()[-2:] == [
        'work_dirs/reports/report.html', 'work_dirs/reports/report.json'
    ]

    # An interrupted baseline is made up for, the distillation stays.
    shutil.rmtree(work / 'alone')
    before = (work / 'iter_4.pth').stat().st_mtime_ns
    call(*distil, 'work', '--resume')
    assert (work / 'iter_4.pth').stat().st_mtime_ns == before
    again = json.loads((work / 'report_2.json').read_text())
    assert [group['runs'][0]['metrics'] for group in again['groups']
            ] == [group['runs'][0]['metrics'] for group in report['groups']]
    assert json.loads((work / 'report.json').read_text()) == report

    # The student alone is its plain run.
    call('train', distil[1], '--seed', '0', '--work-dir', 'plain')
    plain, own = (
        weights(folder / 'iter_4.pth')
        for folder in (tmp_path / 'plain', work / 'alone'))
    assert plain.keys() == own.keys()
    assert all(torch.equal(plain[key], own[key]) for key in plain)


def test_both_train_fast(distil, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(*distil, 'work', '--fast', '--cfg-options',
         'model.compile_backbone=False')
    _, cwd = json.loads((tmp_path / 'work/report.json').read_text())['groups']
    assert cwd['settings'] == []
    alone = Config.fromfile(tmp_path / 'work/alone/student.py')
    distilled = Config.fromfile(tmp_path / 'work/cwd_teacher_student_full.py')
    for part in (alone, distilled.model):
        assert part.channels_last and part.compile_backbone is False


def test_a_baseline_needs_the_files_of_its_test(distil, tmp_path):
    options = [
        f'test_evaluator.{key}'
        for key in ('type=CocoMetric', 'ann_file=gone.json')
    ]
    with pytest.raises(ConfigError, match='`test_evaluator`: .* gone.json'):
        cli.call([*distil, str(tmp_path), '--cfg-options', *options])


def test_a_baseline_needs_metrics(distil, tmp_path):
    options = [
        f'{split}_{part}=None' for split in ('val', 'test')
        for part in ('evaluator', 'dataloader', 'cfg')
    ]
    with pytest.raises(ConfigError, match='has no `val_dataloader`'):
        cli.call([*distil, str(tmp_path), '--cfg-options', *options])
