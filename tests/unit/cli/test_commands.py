"""The command as a whole; what the subcommands do is tested where their parts
lie, and in tests/integration."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from driving_scenes.groups import FORMATS
from mmkd import cli
from mmkd.cli.commands import scenes
from mmkd.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]


def code_of(capsys, *argv):
    """Exit code of the command, and what it printed."""
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    return stop.value.code, capsys.readouterr()


def test_every_module_is_listed():
    folder = ROOT / 'mmkd/cli/commands'
    assert sorted(name.replace('-', '_') for name in cli.COMMANDS) == sorted(
        path.stem for path in folder.glob('[!_]*.py'))


def test_every_file_in_tools_is_a_thin_name():
    files = sorted((ROOT / 'tools').glob('*.py'))
    assert len(files) == len(cli.COMMANDS) + 1  # two for `browse`
    for path in files:
        called = re.search(r"main\(\['([\w-]+)', \*sys.argv\[1:\]\]\)",
                           path.read_text())[1]
        name = path.stem.replace('_', '-')
        assert cli.OLD_NAMES.get(name, name) == called
        assert os.access(path, os.X_OK)


@pytest.mark.parametrize('argv', [['--help'], ['--version']])
def test_pages(argv, capsys):
    code, printed = code_of(capsys, *argv)
    assert code == 0 and not printed.err
    if argv == ['--help']:
        for name in cli.COMMANDS:
            assert f'\n  {name} ' in printed.out
        assert max(map(len, printed.out.splitlines())) <= 79
        assert 'examples:' in printed.out and 'exit codes:' in printed.out
    else:
        assert re.fullmatch(r'mmkd \d+\.\d+\.\d+\S*\n', printed.out)


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_help_of_a_command(name, capsys):
    code, printed = code_of(capsys, name, '--help')
    assert code == 0 and printed.out.startswith(f'usage: mmkd {name} ')
    assert '--quiet' in printed.out and '--verbose' in printed.out


def test_help_imports_no_library():
    code = ('import sys\nfrom mmkd import cli\n'
            'try:\n    cli.call([*sys.argv[1:], "--help"])\n'
            'except SystemExit:\n    pass\n'
            'heavy = {"torch", "numpy", "mmengine", "mmcv", "mmdet", "cv2"}\n'
            'assert not heavy & set(sys.modules), heavy & set(sys.modules)')
    for argv in ([], ['distill'], ['scenes']):
        subprocess.run([sys.executable, '-c', code, *argv],
                       env=dict(os.environ, PYTHONPATH=str(ROOT)),
                       stdout=subprocess.DEVNULL,
                       check=True)


def test_a_misspelt_command_is_corrected(capsys):
    code, printed = code_of(capsys, 'distil')
    assert code == 2 and len(printed.err.splitlines()) == 1
    assert 'Did you mean distill' in printed.err
    assert 'pseudo-label' in printed.err


def test_no_command_shows_the_page(capsys):
    code, printed = code_of(capsys)
    assert code == 2 and printed.err.startswith('usage: mmkd')


@pytest.mark.parametrize('argv', [
    ['train'],
    ['train', 'config.py', '--no-such-option'],
    ['test', 'config.py'],
    ['scenes', '--preset', 'none'],
])
def test_wrong_usage(argv, capsys):
    code, printed = code_of(capsys, *argv)
    assert code == 2 and printed.err.startswith(f'usage: mmkd {argv[0]}')


@pytest.mark.parametrize('argv', [
    ['train', 'gone.py'],
    ['test', 'gone.py', 'gone.pth'],
    ['export', 'gone.py', 'gone.pth'],
    ['taps', 'mmkd::demo/gone.py'],
    ['browse', 'gone.py'],
    ['replay', 'gone.py', 'gone.pth'],
    ['distill', 'gone.py', '--teacher', 'gone.py', '--teacher-ckpt', 'random'],
])
def test_bad_input_is_one_line(argv, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed = code_of(capsys, *argv)
    assert code == 2 and 'gone' in printed.err
    assert printed.err.splitlines()[-1].startswith('error: ')
    assert 'Traceback' not in printed.err


def test_advise_overwrites_no_file(capsys, tmp_path):
    file = tmp_path / 'mine.json'
    file.write_text('{}')
    code, printed = code_of(capsys, 'advise', 'gone.py', '--teacher',
                            'gone.py', '--teacher-ckpt', 'random', '--json',
                            str(file))
    assert code == 2 and f'{file} exists' in printed.err
    assert file.read_text() == '{}'


def test_a_misspelt_option_is_corrected(capsys):
    code, printed = code_of(capsys, 'train', 'config.py', '--workdir', 'w')
    assert code == 2
    assert 'Did you mean --work-dir' in printed.err.splitlines()[-1]
    code, printed = code_of(capsys, 'train', 'config.py', '--cfg-options',
                            'a=dict(b="c",d="e")')
    assert code == 2 and 'one by one: a.b=1' in printed.err
    code, printed = code_of(capsys, 'train', 'config.py', '--teacher', 't.py')
    assert code == 2
    assert printed.err.endswith(
        '--teacher is an option of mmkd advise, distill, inherit\n')


@pytest.mark.parametrize('argv', [['--bogus'], ['--']])
def test_options_without_a_command(argv, capsys):
    code, printed = code_of(capsys, *argv)
    assert code == 2 and printed.err.startswith('usage: mmkd COMMAND')


def test_old_names(capsys):
    for name in ('export_student', 'list-taps', 'make_scenes'):
        code, printed = code_of(capsys, name, '--help')
        new = cli.OLD_NAMES[name.replace('_', '-')]
        assert code == 0 and f'usage: mmkd {new} ' in printed.out


def test_browse_takes_options_of_one_kind(tmp_path):
    with pytest.raises(UsageError, match='--images does not apply'):
        cli.call(['browse', str(tmp_path), '--images', '1'])
    with pytest.raises(UsageError, match='--part does not apply'):
        cli.call(['browse', str(tmp_path / 'config.py'), '--part', 'train'])
    with pytest.raises(UsageError, match='checkpoints belong to a config'):
        cli.call(['browse', str(tmp_path), 'a.pth'])


def test_formats_of_scenes():
    assert set(scenes.FORMATS) == set(FORMATS)


@pytest.mark.parametrize('shell', cli.SHELLS)
def test_completion(shell, capsys, tmp_path):
    cli.call(['--print-completion', shell])
    script = tmp_path / f'mmkd.{shell}'
    script.write_text(capsys.readouterr().out)
    text = script.read_text()
    for word in (*cli.COMMANDS, '--teacher-ckpt', '--launcher'):
        assert word in text
    if shutil.which(shell):
        subprocess.run([shell, '-n', str(script)], check=True)
