import argparse
import logging
import os
import re
import sys
import warnings

import pytest
import torch
from mmengine.config import Config

from mmkd.cli import options
from mmkd.errors import ConfigError, UsageError

GPUS = 'CUDA_VISIBLE_DEVICES'


def parse(*argv):
    parser = argparse.ArgumentParser()
    options.add_train_options(parser)
    options.add_verbosity(parser)
    return parser.parse_args(argv)


def test_options_reach_the_config():
    args = parse('--cfg-options', 'a.b=1', 'c=[1,2]', '--seed', '3',
                 '--verbose', '--work-dir', 'w', '--launcher', 'pytorch')
    cfg = options.for_runner(
        Config(dict(a=dict(b=0), randomness=dict(deterministic=True))), args,
        'name')
    assert cfg.a.b == 1 and cfg.c == [1, 2]
    assert cfg.randomness == dict(deterministic=True, seed=3)
    assert cfg.log_level == 'DEBUG' and cfg.work_dir == 'w'
    assert cfg.launcher == 'pytorch'


def test_a_config_without_options_stays():
    cfg = options.for_runner(Config(dict(work_dir='own')), parse(), 'name')
    assert cfg.to_dict() == dict(work_dir='own', launcher='none')
    cfg = options.for_runner(Config({}), parse(), 'name')
    assert cfg.work_dir == 'work_dirs/name'


@pytest.mark.parametrize('argv', [
    ['--cfg-options', 'no_equals_sign'],
    ['--device', 'gpu'],
    ['--device', 'cuda:'],
    ['--quiet', '--verbose'],
])
def test_wrong_values_are_usage_errors(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*argv)
    assert stop.value.code == 2
    assert 'error: ' in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize('device, visible, expected', [
    ('cpu', '0,1', ''),
    ('cuda', '4,5', '4,5'),
    ('cuda:1', '4,5', '5'),
    ('cuda:1', None, '1'),
])
def test_device_limits_what_is_visible(device, visible, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    if visible is None:
        monkeypatch.delenv(GPUS, raising=False)
        monkeypatch.setenv(GPUS, '')
    else:
        monkeypatch.setenv(GPUS, visible)
    options.use_device(parse('--device', device))
    assert os.environ[GPUS] == expected


@pytest.mark.parametrize('argv, message', [
    (['--device', 'cuda'], 'torch finds no such device.*--device cpu'),
    (['--device', 'cuda:2'], 'has 2 devices'),
    (['--device', 'cuda:0', '--launcher', 'pytorch'], 'takes its own GPU'),
])
def test_a_device_that_is_not_there(argv, message, monkeypatch):
    monkeypatch.setenv(GPUS, '0,1')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ConfigError, match=message):
        options.use_device(parse(*argv))


def test_quietly(capsys):
    for quiet in (False, True):
        args = parse(*['--quiet'] * quiet)
        with options.quietly(args):
            print('progress')
            handler = logging.StreamHandler(sys.stdout)
            with warnings.catch_warnings(record=True) as caught:
                if not quiet:
                    warnings.simplefilter('always')
                warnings.warn('a library is deprecated')
        # A logger may outlive the run.
        handler.emit(logging.makeLogRecord(dict(msg='late')))
        print('result')
        printed = capsys.readouterr().out
        assert printed == ('result\n' if quiet else 'progress\nlate\nresult\n')
        assert len(caught) == 1 - quiet


def parse_pair(*argv):
    parser = argparse.ArgumentParser()
    options.add_pair(parser)
    return options.teachers_of(parser.parse_args(['s.py', *argv]))


def test_teachers_by_name():
    assert parse_pair('--teacher', 'a=b/t.py', '--teacher', 'x/t=1.py',
                      '--teacher-ckpt', 'official', '--teacher-ckpt',
                      'a=t.pth') == dict(
                          a=('b/t.py', 't.pth'),
                          teacher=('x/t=1.py', 'official'))


def test_a_file_with_an_equals_sign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'epoch=3.ckpt').touch()
    assert parse_pair(
        '--teacher', 't.py', '--teacher-ckpt',
        'epoch=3.ckpt') == dict(teacher=('t.py', 'epoch=3.ckpt'))


@pytest.mark.parametrize('argv, message', [
    (['--teacher', 'a', '--teacher', 'b', '--teacher-ckpt', 'c'
      ], "--teacher is given twice for 'teacher'"),
    (['--teacher', 'a', '--teacher', 'x=b', '--teacher-ckpt', 'c'
      ], "'x' has no --teacher-ckpt; add --teacher-ckpt x=...; it is a file"),
    (['--teacher', 'a', '--teacher-ckpt', 'x=c', '--teacher-ckpt', 'd'
      ], "'x' has no --teacher; add"),
])
def test_teachers_that_lack_something(argv, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_pair(*argv)


@pytest.mark.parametrize('verbose', [False, True])
def test_only_results(verbose, capsys, caplog):
    with options.only_results(argparse.Namespace(verbose=verbose)):
        print('a print of a library')
        logging.getLogger('library').warning('of a library')
        logging.getLogger('library').error('an error')
    print('result')
    assert 'an error' in caplog.text
    assert ('of a library' in caplog.text) is verbose
    assert ('a print' in capsys.readouterr().out) is verbose


def test_warnings_that_no_user_can_act_on_are_hidden():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        options.hide_noise()
        warnings.warn('`torch.cuda.amp.autocast(args...)` is deprecated.',
                      FutureWarning)
        warnings.warn('your config is deprecated', FutureWarning)
    assert [str(each.message)
            for each in seen] == ['your config is deprecated']
