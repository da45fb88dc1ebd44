import os

import pytest
from mmengine.config import Config

from mmkd import apis
from mmkd.cli import main
from mmkd.errors import ConfigError
from mmkd.testing import (distillation_config, segmentation_config, segmentor,
                          write_cityscapes)

NAMES = [
    'settings', 'device', 'index files', 'networks', 'data sets', 'optimiser',
    'classes', 'samples', 'initial weights', 'a validation batch',
    'a training batch'
]


def test_good_runs(cityscapes, tmp_path):
    cfg = segmentation_config(cityscapes, str(tmp_path / 'run'), max_iters=1)
    for config in (cfg, distillation_config(cfg,
                                            dict(kd=dict(type='LogitsKD')))):
        report = apis.check(config, samples=2)
        assert report.problems == []
        assert [name for name, passed, _ in report.rows if passed] == NAMES
    found = {name: what for name, _, what in report.rows}
    assert found['data sets'] == 'train 8 samples, val 2 samples'
    assert found['classes'].startswith('19: road, sidewalk')
    assert found['samples'] == 'train 2 of 8 read, val 2 of 2 read'
    assert found['a training batch'] == 'teacher teacher, kd.loss'
    # An untrained teacher does not do its job.
    assert any('does not seem' in text for text in report.warnings)
    assert not os.path.exists(tmp_path / 'run')


def test_all_faults_are_found(tmp_path):
    """What depends on a wrong part is left out, and the rest is checked."""
    root = write_cityscapes(str(tmp_path / 'data'), 3, 1)
    cfg = segmentation_config(
        root,
        str(tmp_path / 'run'),
        segmentor(num_classes=7)['model'],
        max_iters=1,
        test_evaluator__ann_file='gone.json')
    cfg.randomnes = dict(seed=1)
    report = apis.check(cfg)
    assert [line.split()[0] for line in report.problems] == [
        'nothing', '`test_evaluator`:', 'the', *[
            f'{root}/gtFine/train/tinytown/tinytown_00000{i}_000019_gtFine_'
            'labelTrainIds.png:' for i in range(3)
        ]
    ]


@pytest.mark.parametrize('quiet', [False, True])
def test_command(cityscapes, tmp_path, capsys, quiet):
    cfg = segmentation_config(cityscapes, str(tmp_path / 'run'), max_iters=1)
    cfg.model.decode_head.in_channels = 5
    Config(cfg.to_dict()).dump(str(tmp_path / 'mine.py'))
    with pytest.raises(SystemExit) as stop:
        main(['check', str(tmp_path / 'mine.py'), '--samples', '1'] +
             ['--quiet'] * quiet)
    printed = capsys.readouterr()
    assert stop.value.code == 2
    lines = printed.err.splitlines()
    assert [line[:6] for line in lines] == ['error:'] * 2
    assert 'does not run on the validation data (images of 32x64)' in lines[0]
    assert 'does not run on the training data' in lines[1]
    if quiet:
        assert not printed.out
    else:
        assert 'ok    samples             train 1 of 8 read' in printed.out
        assert 'WRONG a validation batch  1 problem\n' in printed.out


def test_number_of_samples(capsys):
    with pytest.raises(SystemExit):
        main(['check', 'a.py', '--samples', '0'])
    assert 'at least 1' in capsys.readouterr().err
    with pytest.raises(ConfigError, match='no config file'):
        apis.check('gone.py')
