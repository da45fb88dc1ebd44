"""The account of a run, and what its console and log file hold."""
import glob
import re
from contextlib import redirect_stdout
from io import StringIO

import pytest
import torch

from mmkd import apis
from mmkd.engine.hooks.console_hook import describe_run
from mmkd.errors import ConfigError
from mmkd.testing import distillation_config, segmentation_config, segmentor


@pytest.fixture(scope='module')
def said(cityscapes, tmp_path_factory):
    """Console and log file of a run of two iterations."""
    folder = str(tmp_path_factory.mktemp('run'))
    cfg = distillation_config(
        segmentation_config(
            cityscapes,
            folder,
            max_iters=2,
            randomness=dict(seed=3),
            log_level='INFO'), dict(cwd=dict(type='CWD', loss_weight=0.5)),
        dict(teacher=dict(cfg=segmentor(8), ckpt='random')))
    with redirect_stdout(StringIO()) as console:
        apis.train(cfg)
    file, = glob.glob(f'{folder}/*/*.log')
    with open(file, encoding='utf-8') as log:
        return console.getvalue(), log.read()


def test_the_account_comes_first(said):
    console, _ = said
    start = console.index('  student ')
    lines = console[start:].splitlines()[:9]
    assert 'EncoderDecoder (ResNet), 0.0' in lines[0]
    assert lines[0].endswith('M parameters, initial weights of its config')
    names = [line.split()[0] for line in lines]
    assert names == [
        'student', 'teacher', 'method', 'data', 'schedule', 'device', 'speed',
        'checks', 'log'
    ]
    assert lines[1].endswith('weights: random')
    assert 'CWD: ' in lines[2]
    assert 'CityscapesDataset, ' in lines[3] and ' samples in batc' in lines[3]
    assert lines[4].startswith('  schedule  2 iterations, validation every ')
    assert lines[4].endswith('seed 3')
    assert 'float32' in lines[6]
    assert lines[6].endswith('normalisations folded, channels_last')
    assert 'data and classes ok; teacher: task loss' in lines[7]
    # Before it, warnings at most; after it, the iterations with their ETA.
    assert console[:start].count('INFO') == 1
    assert 'eta: ' in console[start:]


def test_weights_of_the_teacher(cityscapes, tmp_path):
    cfg = distillation_config(
        segmentation_config(
            cityscapes, str(tmp_path), max_iters=1, log_level='INFO'), {},
        dict(teacher=dict(cfg=segmentor(8), ckpt='random')))
    cfg.custom_hooks = [
        dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)
    ]
    with redirect_stdout(StringIO()) as console:
        apis.train(cfg)
    line, = re.findall('  student .*', console.getvalue())
    found = re.search(r" (\d+) of (\d+) tensors from teacher 'teacher'$", line)
    assert found[1] == found[2] != '0'


def test_a_module_inside_a_teacher(cityscapes, tmp_path):
    cfg = segmentation_config(
        cityscapes,
        str(tmp_path),
        max_iters=1,
        model=dict(
            type='mmkd.RewritingModel',
            teacher=dict(cfg=segmentor(4), ckpt='random'),
            rewriter=dict(type='mmkd.ReceptiveTokens'),
            dry_run_size=(32, 64)))
    runner = apis.train(cfg)
    rows = dict(describe_run(runner))
    assert rows['module'].startswith('ReceptiveTokens, 0.000152 M param')
    assert rows['teacher'].endswith('weights: random')
    checkpoint = str(tmp_path / 'iter_1.pth')
    with pytest.raises(ConfigError, match='there is no student to export'):
        apis.export_student(cfg, checkpoint, str(tmp_path / 'export'))
    state = torch.load(checkpoint, weights_only=False)['state_dict']
    assert set(state) == {'rewriter.levels.0.tokens', 'teacher_hash', 'places'}


@pytest.mark.skipif(torch.cuda.is_available(), reason='mmengine logs it')
def test_the_memory_of_the_process_is_logged(said):
    console, _ = said
    used, = {int(x) for x in re.findall(r' memory: (\d+)', console)}
    assert 100 < used < 10_000  # MiB


@pytest.mark.parametrize('part', [
    'Config:\n', 'System environment', 'Hooks will be executed',
    'distillation:\ndistiller', 'self-check: losses at full weight'
])
def test_the_rest_is_in_the_log_file(said, part):
    console, log = said
    assert part in log
    assert part not in console
