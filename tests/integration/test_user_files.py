"""What the tools leave as it is: configs, checkpoints and other files."""
import os
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmkd import apis, cli
from mmkd.core.network import build_network
from mmkd.errors import ConfigError, MMKDError
from mmkd.testing import distillation_config, segmentation_config, segmentor
from mmkd.utils.config_file import write_config
from tests.fixtures.processes import python

CWD = dict(
    type='CWD', place='stages', student='backbone[2]', teacher='backbone[2]')


@pytest.fixture(scope='module')
def folder(cityscapes, tmp_path_factory):
    """Configs, weights of a teacher, and a distillation of one iteration."""
    folder = tmp_path_factory.mktemp('user')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plain = segmentation_config(cityscapes, '', max_iters=1)
        plain.pop('work_dir')
        write_config('student.py', plain)
        write_config('teacher.py', Config(segmentor(8)))
        torch.save(
            dict(state_dict=build_network(segmentor(8), 't').state_dict()),
            'teacher.pth')
        write_config('x.py', distillation_config(plain, dict(cwd=CWD)))
        cli.call(['train', 'x.py'])
    return folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def run_tool(name, *args):
    """Run a tool as a command."""
    tool = Path(cli.__file__).parents[2] / 'tools' / f'{name}.py'
    return python(tool, *args)


def content(*names):
    """What is in the files of a folder, without logs of single commands."""
    return {
        str(path): path.read_bytes()
        for name in names
        for path in Path(name).rglob('*')
        if path.is_file() and not path.parent.name[:8].isdecimal()
        and path.parent.name != 'vis_data'
    }


def test_only_training_writes_a_record(folder):
    record = 'work_dirs/x/x.py'
    assert 'DistillationModel' in Path(record).read_text()
    before = content('work_dirs')
    cli.call(['test', record, 'work_dirs/x/iter_1.pth'])
    cli.call(['test', 'x.py', 'work_dirs/x/iter_1.pth'])
    cli.call(
        ['test', 'student.py', 'work_dirs/x/iter_1.pth', '--work-dir', '.'])
    assert content('work_dirs') == before
    # Going on from the record itself leaves it, too.
    cli.call([
        'train', record, '--resume', '--cfg-options', 'train_cfg.max_iters=2',
        'default_hooks.checkpoint.interval=2'
    ])
    assert Path(record).read_bytes() == before[record]
    full = Config.fromfile('work_dirs/x/x_full.py')
    assert full.train_cfg.max_iters == 2


def test_a_config_that_lost_its_distillation():
    for cfg in (apis.student_only('x.py'), Config.fromfile('student.py')):
        write_config('work_dirs/x/lost.py', cfg)
        with pytest.raises(ConfigError, match='folder of a distill.*lost.py'):
            cli.call(
                ['train', 'work_dirs/x/lost.py', '--work-dir', 'elsewhere'])
        with pytest.raises(ConfigError, match='work_dirs/x is the folder'):
            cli.call(['train', 'student.py', '--work-dir', 'work_dirs/x'])
    os.remove('work_dirs/x/lost.py')
    assert not os.path.exists('elsewhere')
    cli.call(['train', 'student.py', '--work-dir', 'elsewhere'])


def test_a_refused_process_changes_nothing(monkeypatch):
    distill = [
        'student.py', '--teacher', 'teacher.py', '--teacher-ckpt',
        'teacher.pth', '--work-dir', 'work_dirs/d', '--method'
    ]
    cli.call(['distill', *distill, 'cwd'])
    before = content('work_dirs')

    def taken(*args):
        raise BlockingIOError(11, 'Resource temporarily unavailable')

    monkeypatch.setattr('mmkd.utils.files.fcntl.lockf', taken)
    for command in (
            lambda: cli.call(['train', 'x.py', '--cfg-options', 'b=1']),
            lambda: cli.call(['distill', *distill, 'cwd', '--resume']),
            lambda: cli.call(['distill', *distill, 'pkd'])):
        with pytest.raises(MMKDError, match='another process trains'):
            command()
        assert content('work_dirs') == before


def test_a_config_that_was_edited():
    distill = [
        'student.py', '--teacher', 'teacher.py', '--teacher-ckpt',
        'teacher.pth', '--config-only', '--work-dir', 'work_dirs/e'
    ]
    cli.call(['distill', *distill])
    path = Path('work_dirs/e/featurekd_teacher_student.py')
    path.write_text(path.read_text() + 'mine = 1\n')
    for options in ([], ['--method', 'featurekd']):  # twice
        cli.call(['distill', *distill, *options])
        assert 'mine' not in path.read_text()
    kept = [file.read_text() for file in path.parent.glob('*.old')]
    assert sum('mine' in text for text in kept) == 1


def test_an_export_that_was_edited():
    apis.export_student('x.py', 'work_dirs/x/iter_1.pth', 'e')
    path = Path('e/student.py')
    apis.export_student('x.py', 'work_dirs/x/iter_1.pth', 'e')
    assert not [*path.parent.glob('*.old')]
    path.write_text(path.read_text() + 'mine = 1\n')
    apis.export_student('x.py', 'work_dirs/x/iter_1.pth', 'e')
    kept, = path.parent.glob('*.old')
    assert 'mine' in kept.read_text() and 'mine' not in path.read_text()


@pytest.mark.parametrize('command', [
    lambda: apis.export_student(
        'x.py', 'work_dirs/x/iter_1.pth', '.', name='x'),
    lambda: cli.call([
        'export', 'x.py', 'work_dirs/x/iter_1.pth', '--out',
        'work_dirs/x/iter_1.pth'
    ]),
    lambda: cli.call(
        ['export', 'x.py', 'teacher.pth', '--out', 'work_dirs/x/x.pth']),
    lambda: cli.call(
        ['test', 'x.py', 'work_dirs/x/iter_1.pth', '--out', 'x.py']),
    lambda: cli.call([
        'test', 'x.py', 'work_dirs/x/iter_1.pth', '--out',
        'work_dirs/x/iter_1.pth'
    ]),
    lambda: apis.write_distillation_config(
        'student.py', dict(teacher=('teacher.py', 'teacher.pth')), 'cwd',
        'student.py'),
])
def test_no_tool_overwrites_its_input(folder, command):
    before = content('.')
    with pytest.raises(ConfigError, match='read|to a run|to another'):
        command()
    assert content('.') == before


@pytest.mark.parametrize('name', [
    "x'+str(__import__('os').mkdir('RAN'))+'.pth",
    os.fsdecode(b'a\n"{{$HOME:}}{{ x }}\\latin\xff.pth')
])
def test_a_file_name_is_a_name(folder, name):
    """By the tool itself, as the names go through the shell and the log."""
    os.makedirs(name[:-4], exist_ok=True)
    weights = os.path.join(name[:-4], name)
    with open('teacher.pth', 'rb') as file:
        Path(weights).write_bytes(file.read())
    done = run_tool('distill', 'student.py', '--teacher', 'teacher.py',
                    '--teacher-ckpt', weights, '--work-dir',
                    f'{name[:-4]}/run', '--method', 'cwd')
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'Traceback' not in done.stderr and not os.path.exists('RAN')
    run = f'{name[:-4]}/run/cwd_teacher_student'
    for path in (f'{run}.py', f'{run}_full.py'):
        read = Config.fromfile(path).model.teachers.teacher.ckpt
        assert read == os.path.abspath(weights)
    assert os.path.isfile(f'{name[:-4]}/run/iter_1.pth')


BREAKS = """import multiprocessing, os, shutil, signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class Breaks(Hook):

    def __init__(self, what):
        self.what = what

    def after_train_iter(self, runner, **kwargs):
        if self.what == 'folder':
            shutil.rmtree(runner.work_dir)
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, signal.SIGKILL)
"""


@pytest.mark.parametrize('what, said', [
    ('folder', 'No such file.*was it removed'),
    ('workers', 'a process that loads data .*num_workers'),
])
def test_what_ends_a_run(folder, what, said):
    """In a process of its own: torch tells of killed workers at any time."""
    Path('breaks.py').write_text(BREAKS)
    cfg = Config.fromfile('student.py')
    cfg.merge_from_dict({
        'custom_imports':
        dict(imports=['breaks']),
        'train_cfg.max_iters':
        9,
        'train_dataloader.num_workers':
        1 if what == 'workers' else 0,
        'custom_hooks': [dict(type='Breaks', what=what)]
    })
    write_config(f'{what}.py', cfg)
    done = run_tool('train', f'{what}.py')
    assert done.returncode == 1
    assert re.search(f'error: .*{said}', done.stderr)
    assert 'Traceback' not in done.stderr
