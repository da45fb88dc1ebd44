# Copyright (c) mmkd contributors. All rights reserved.
"""The set-up: names of the environment, checks, plan of mmcv's build."""
import ctypes
import errno
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).resolve().parents[2]

sys.path.insert(0, str(ROOT / 'tools/setup'))

import build_mmcv  # noqa: E402
import commands  # noqa: E402
import env  # noqa: E402
import lock  # noqa: E402
import machine  # noqa: E402
import pins  # noqa: E402
import stand_ins  # noqa: E402

sys.path.pop(0)


@pytest.fixture
def described(monkeypatch):
    """The arguments that setup.py gives to setuptools."""
    seen = {}
    monkeypatch.setattr(setuptools, 'setup', seen.update)
    runpy.run_path(str(ROOT / 'setup.py'))
    return seen


def name_of(requirement):
    return pins.normalise(re.match(r'[\w.-]+', requirement).group())


def bare(folder, *names):
    """A PATH with nothing but some programs."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(shutil.which(name))
    return str(folder)


# -- what is pinned


def test_every_requirement_is_pinned(described):
    pinned = pins.read_pins()
    lists = dict(
        described['extras_require'], install=described['install_requires'])
    for extra, lines in lists.items():
        for line in lines:
            assert name_of(line) in pinned, f'{line} of {extra}'


def test_pins_lie_within_the_ranges(described):
    requirements = pytest.importorskip('packaging.requirements')
    pinned = pins.read_pins()
    lists = [described['install_requires']]
    lists += described['extras_require'].values()
    for line in sum(lists, []):
        requirement = requirements.Requirement(line)
        assert requirement.specifier.contains(pinned[name_of(line)]), line


def test_extras(described):
    extras = described['extras_require']
    assert {'seg', 'det', 'det3d', 'scenes', 'dev', 'all'} <= set(extras)
    for name in ('seg', 'det', 'det3d', 'scenes'):
        assert set(extras[name]) <= set(extras['all'])
    names = [name_of(line) for line in described['install_requires']]
    assert 'torch' in names
    # pip would build it without its operators
    assert 'mmcv' not in names


def test_version(described):
    text = (ROOT / 'mmkd' / 'version.py').read_text()
    assert f"'{described['version']}'" in text
    citation = (ROOT / 'CITATION.cff').read_text()
    assert f"version: {described['version']}\n" in citation


def test_pins_are_exact_and_named_once():
    lines = [
        line.split('#')[0].strip()
        for line in (ROOT / 'constraints.txt').read_text().splitlines()
    ]
    lines = [line for line in lines if line]
    assert all(re.fullmatch(r'[\w.-]+==[\w.]+', line) for line in lines)
    assert len(lines) == len(pins.read_pins())


# -- what is locked


def locked_pins():
    return {
        name: version
        for name, version in pins.read_pins().items()
        if name not in stand_ins.DISTRIBUTIONS
    }


def test_lock_file_fits_the_pins():
    locked = pins.read_lock(locked_pins())
    assert 'nvidia-cublas' in locked  # torch's, which constraints.txt lacks
    text = pins.LOCK.read_text()
    assert '://' not in text and '@' not in text
    assert not set(stand_ins.DISTRIBUTIONS) & set(locked)


@pytest.mark.parametrize('line, told', [
    ('six==1.17.0', 'no hash in the line "six==1.17.0"'),
    ('six==1.17.0 --hash=sha256:12', 'no hash in the line "six==1.17.0 '),
    ('six>=1.17 --hash=sha256:' + 64 * '0', 'no hash in the line "six>=1'),
    ('six==1.16.0 --hash=sha256:' + 64 * '0', 'does not list six 1.17.0'),
    ('', 'does not list six 1.17.0'),
])
def test_lock_file_that_does_not_fit(tmp_path, line, told):
    path = tmp_path / 'lock.txt'
    path.write_text(f'# a remark\n{line}\n')
    with pytest.raises(commands.SetupError) as error:
        pins.read_lock(dict(six='1.17.0'), path)
    assert told in one_line(error) and 'make lock' in one_line(error)


def write_wheel(folder, name='thing'):
    """A wheel without modules."""
    return stand_ins.write_distribution(folder, name, '1.0', None, None)


@pytest.mark.parametrize('listed, told', [
    (' --hash=sha256:' + 64 * '0',
     'thing==1.0 is not the file whose hash lock.txt lists'),
    ('', 'lock.txt has no hash of thing'),
])
def test_pip_refuses_a_file_of_another_hash(tmp_path, monkeypatch, capsys,
                                            listed, told):
    wheel = write_wheel(tmp_path)
    wheel = wheel.rename(tmp_path / 'thing-1.0-py3-none-any.whl')
    setup = env.Setup(cache=tmp_path / 'cache')
    monkeypatch.setattr(setup, 'python', sys.executable)
    setup.locked = dict(thing='thing==1.0' + listed)
    with pytest.raises(commands.SetupError) as error:
        with setup.lines_of_lock(['thing']) as path:
            setup.pip('installing', '--target', tmp_path / 'out', '--no-index',
                      '--find-links', tmp_path, '--require-hashes', '-r', path)
    assert told in one_line(error)
    assert not (tmp_path / 'out' / 'thing-1.0.dist-info').exists()


def test_lock_text():
    sha256 = 64 * 'a'
    packages = [
        dict(
            metadata=dict(name=name, version='1'),
            download_info=dict(
                url='https://host/x.whl',
                archive_info=dict(hashes=dict(sha256=sha256))))
        for name in ('Six_B', 'a', 'typing')
    ]
    assert lock.lock_text(packages) == (
        lock.HEADER + f'a==1 --hash=sha256:{sha256}\n'
        f'six-b==1 --hash=sha256:{sha256}\n')


# -- where things lie


def test_cache_folder():
    assert pins.cache_root({'MMKD_CACHE': '/a/b'}) == Path('/a/b')
    assert pins.cache_root({'XDG_CACHE_HOME': '/x'}) == Path('/x/mmkd')
    assert pins.cache_root({}) == Path.home() / '.cache' / 'mmkd'


def copy_pins(folder):
    for name in ('constraints.txt', 'lock.txt'):
        shutil.copy(ROOT / name, folder)
    return folder


def test_env_key_follows_the_pins(tmp_path, monkeypatch):
    monkeypatch.delenv('MMKD_MMCV', raising=False)
    clone = copy_pins(tmp_path)
    key = pins.env_key()
    assert pins.env_key(clone) == key
    assert pins.env_key(clone, tag='cp310') != key
    for name in ('constraints.txt', 'lock.txt'):
        text = (clone / name).read_text()
        (clone / name).write_text('# a remark\n\n' + text)
        assert pins.env_key(clone) == key
        (clone / name).write_text(text.replace('torch==', 'torch==1'))
        assert pins.env_key(clone) != key
        (clone / name).write_text(text)
    assert pins.env_key(clone) == key
    monkeypatch.setenv('MMKD_MMCV', 'cuda')
    assert pins.env_key() != key


def test_wheel_key_follows_what_it_is_built_from():
    pinned = pins.read_pins()
    key = pins.wheel_key(pinned)
    assert pins.wheel_key(dict(pinned, mmdet='3.2.0')) == key
    for change in (dict(torch='2.8.0'), dict(mmcv='2.0.1')):
        assert pins.wheel_key(dict(pinned, **change)) != key
    assert pins.wheel_key(pinned, kind='cu128') != key
    assert pins.wheel_key(pinned, tag='cp310') != key


def test_setup_goes_on_behind_the_last_mark(tmp_path, capsys):
    setup = env.Setup(cache=tmp_path)
    done = []
    setup.stage('one', '1/2 one', lambda: done.append('one'))

    def cut():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setup.stage('two', '2/2 two', cut)
    setup.stage('one', '1/2 one', lambda: done.append('again'))
    setup.stage('two', '2/2 two', lambda: done.append('two'))
    assert done == ['one', 'two']
    assert 'done before' in capsys.readouterr().err
    assert not setup.ready()


def test_half_installed_packages_are_forgotten(tmp_path):
    setup = env.Setup(cache=tmp_path)
    site = setup.env / 'lib' / 'python3.11' / 'site-packages'
    for name in ('whole-1.dist-info', 'half-1.dist-info', '~alf'):
        (site / name).mkdir(parents=True)
    (site / 'whole-1.dist-info' / 'RECORD').touch()
    setup.mend()
    assert [p.name for p in site.iterdir()] == ['whole-1.dist-info']


def test_two_set_ups_do_not_meet(tmp_path):
    code = ('import sys, time; sys.path.insert(0, sys.argv[1]); import env\n'
            'from pathlib import Path\n'
            'with env.Setup(cache=Path(sys.argv[2])).lock():\n'
            '    print("in", flush=True); time.sleep(1)\n'
            '    print("out", flush=True)\n')
    command = [sys.executable, '-c', code, ROOT / 'tools/setup', tmp_path]
    with open(tmp_path / 'seen', 'w+') as seen:
        jobs = [
            subprocess.Popen(
                command, stdout=seen, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        errors = [job.communicate()[1] for job in jobs]
        seen.seek(0)
        assert seen.read().split() == ['in', 'out', 'in', 'out']
    assert sum('waiting for it' in error for error in errors) == 1


def test_damaged_wheel_is_not_used(tmp_path, capsys):
    setup = env.Setup(cache=tmp_path)
    assert setup.find_wheel('cpu') is None
    folder = tmp_path / 'wheels' / pins.wheel_key(setup.pins)
    folder.mkdir(parents=True)
    wheel = write_wheel(folder, 'mmcv')
    assert setup.find_wheel('cpu') is None  # nobody has recorded its hash
    env.hash_file(wheel).write_text(env.sha256(wheel))
    assert setup.find_wheel('cpu') == wheel
    assert setup.find_wheel('cu*') is None
    for spoilt in (b'', wheel.read_bytes()[:-1]):
        wheel.write_bytes(spoilt)
        assert setup.find_wheel('cpu') is None
    assert 'in the cache is damaged' in capsys.readouterr().err


def run_env(cache):
    return subprocess.run(
        [sys.executable, ROOT / 'tools/setup/env.py', 'python'],
        env=dict(os.environ, MMKD_CACHE=str(cache)),
        capture_output=True,
        text=True)


@pytest.mark.skipif(
    sys.version_info[:2] != machine.PYTHON_VERSION, reason='needs Python 3.11')
@pytest.mark.parametrize('kind', ['file', 'below a file', 'lock is a folder'])
def test_cache_that_cannot_be_used(tmp_path, kind):
    cache = tmp_path / 'cache'
    if kind == 'lock is a folder':
        (cache / 'lock').mkdir(parents=True)
    else:
        cache.touch()
    done = run_env(cache / 'x' if kind == 'below a file' else cache)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.count('\n') == 1
    assert str(cache) in done.stderr and 'MMKD_CACHE=/other' in done.stderr


def test_cache_that_is_read_only(tmp_path, monkeypatch):

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, 'Permission denied', 'lock')

    setup = env.Setup(cache=tmp_path)
    monkeypatch.setattr('builtins.open', refuse)
    with pytest.raises(env.CacheError, match='Permission denied'):
        with setup.lock():
            pass


@pytest.mark.parametrize('name', ['opencv-python', 'typing'])
def test_stand_ins(tmp_path, name):
    path = stand_ins.write_distribution(tmp_path, name, '1.2', 'other', '3')
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        assert all('.dist-info/' in n for n in names)
        metadata = wheel.read(names[0]).decode()
    assert f'Name: {name}\n' in metadata
    assert 'Requires-Dist: other==3' in metadata


@pytest.mark.skipif(shutil.which('gcc') is None, reason='needs gcc')
def test_placeholder_library(tmp_path):
    path = tmp_path / 'libudev.so.1'
    stand_ins.write_library(path, [('udev_new', '@LIBUDEV_183'),
                                   ('udev_unref', '@LIBUDEV_183'),
                                   ('plain', '')])
    library = ctypes.CDLL(str(path))
    assert library.udev_new() == 0 and library.plain() == 0
    symbols = subprocess.run(['nm', '-D', path],
                             capture_output=True,
                             text=True).stdout
    assert 'udev_new@@LIBUDEV_183' in symbols


def test_missing_library_without_gcc(monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', bare(tmp_path / 'bin', 'ls'))
    with pytest.raises(commands.SetupError) as error:
        stand_ins.write_library(tmp_path / 'libGL.so.1', [('glX', '')])
    assert 'libgl1' in one_line(error)


# -- what a bare machine is told


def one_line(error):
    text = str(error.value)
    assert '\n' not in text
    return text


def test_wrong_python():
    machine.check_python((3, 11))
    with pytest.raises(commands.SetupError) as error:
        machine.check_python((3, 9))
    assert 'PYTHON=' in one_line(error)
    assert 'this is 3.9' in one_line(error)


def test_machine_without_locked_packages():
    machine.check_platform('Linux', 'x86_64')
    with pytest.raises(commands.SetupError) as error:
        machine.check_platform('Linux', 'aarch64')
    assert 'this is Linux aarch64' in one_line(error)


def test_missing_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', bare(tmp_path / 'bin', 'ls'))
    monkeypatch.delenv('CXX', raising=False)
    with pytest.raises(commands.SetupError) as error:
        machine.check_compiler()
    assert 'no C++ compiler' in one_line(error)
    assert 'g++' in one_line(error)


def test_missing_headers(monkeypatch, tmp_path):
    compiler = tmp_path / 'c++'
    compiler.write_text('#!/bin/sh\nexit 0\n')
    compiler.chmod(0o755)
    monkeypatch.setenv('CXX', str(compiler))
    monkeypatch.setattr(machine.sysconfig, 'get_paths',
                        lambda: dict(include=str(tmp_path)))
    with pytest.raises(commands.SetupError) as error:
        machine.check_compiler()
    assert 'Python.h' in one_line(error)
    assert '-dev' in one_line(error)


def test_old_compiler(monkeypatch, tmp_path):
    (tmp_path / 'Python.h').touch()
    compiler = tmp_path / 'c++'
    compiler.write_text('#!/bin/sh\necho "x.cpp:2: fatal error: concepts: '
                        'No such file" >&2\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv('CXX', str(compiler))
    monkeypatch.setattr(machine.sysconfig, 'get_paths',
                        lambda: dict(include=str(tmp_path)))
    with pytest.raises(commands.SetupError) as error:
        machine.check_compiler()
    assert 'fatal error: concepts' in one_line(error)


@pytest.mark.parametrize('said, told', [
    ('WARNING: Retrying, connection broken by X', 'index is out of reach'),
    ('ERROR: [Errno 28] No space left on device', 'MMKD_CACHE=/other/folder'),
    ('ERROR: No matching distribution', 'No matching distribution'),
])
def test_failed_command_is_one_line(tmp_path, said, told):
    code = f'import sys; print({said!r}); sys.exit(3)'
    log = tmp_path / 'log' / 'x.log'
    with pytest.raises(commands.SetupError) as error:
        commands.run([sys.executable, '-c', code], 'installing', log,
                     dict(os.environ))
    assert told in one_line(error) and '"installing"' in one_line(error)
    assert said in log.read_text()


def test_full_disk_of_the_set_up_itself(monkeypatch, capsys):

    def full(setup):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(env, 'check_python', lambda: None)
    monkeypatch.setattr(env.Setup, 'prepare', full)
    monkeypatch.setattr(env.signal, 'signal', lambda *_: None)
    assert env.main(['python']) == 1
    seen = capsys.readouterr()
    assert not seen.out and seen.err.count('\n') == 1
    assert 'the disk is full' in seen.err


def test_progress_shows_no_addresses(tmp_path, capsys):
    line = '  Downloading https://a.b/c/torch-2.whl (899.8 MB)'
    code = f'print({line!r}); print("noise")'
    commands.run([sys.executable, '-c', code], 'x', tmp_path / 'x.log',
                 dict(os.environ))
    assert capsys.readouterr().err.splitlines() == [
        'mmkd:   Downloading torch-2.whl (899.8 MB)'
    ]


def find_python(path, wanted=''):
    return subprocess.run(
        [shutil.which('sh'), ROOT / 'tools/setup/find_python.sh', wanted],
        env=dict(PATH=path),
        capture_output=True,
        text=True)


def test_no_python(tmp_path):
    done = find_python(bare(tmp_path / 'bin', 'ls'))
    assert done.returncode and not done.stdout
    assert done.stderr.count('\n') == 1
    assert 'Python 3.11 is needed' in done.stderr


def test_python_of_another_version(tmp_path):
    fake = tmp_path / 'python3'
    fake.write_text('#!/bin/sh\ncase "$2" in *print*) echo 3.9;; '
                    '*) exit 1;; esac\n')
    fake.chmod(0o755)
    done = find_python(str(tmp_path))
    assert done.returncode and 'python3 is 3.9' in done.stderr
    done = find_python(str(tmp_path), '/no/such/python')
    assert 'no /no/such/python that runs' in done.stderr


@pytest.mark.skipif(
    sys.version_info[:2] != machine.PYTHON_VERSION, reason='needs Python 3.11')
def test_python_by_name():
    done = find_python(os.environ['PATH'], sys.executable)
    assert done.stdout.strip() == sys.executable


@pytest.mark.skipif(shutil.which('make') is None, reason='needs make')
def test_make_help_names_every_target():
    done = subprocess.run(['make', '-s', 'help'],
                          cwd=ROOT,
                          capture_output=True,
                          text=True)
    for target in ('env', 'python', 'test', 'demo', 'all-checks', 'clean-env'):
        assert f'make {target} ' in done.stdout


def test_ci_runs_the_tests():
    text = (ROOT / '.ci' / 'run').read_text()
    assert text.index('make lint') < text.index('make test')
    assert os.access(ROOT / '.ci' / 'run', os.X_OK)


# -- the build of mmcv


def test_plan_keeps_every_file_once_and_foes_apart():
    names = [
        'pybind.cpp', 'nms.cpp', 'roi_align.cpp', 'cpu/nms.cpp',
        'cpu/psamask.cpp', 'cpu/voxelization.cpp', *build_mmcv.APART
    ]
    units = build_mmcv.plan(names)
    assert sorted(sum(units, [])) == sorted(names)
    for unit in units:
        assert sum(n in build_mmcv.APART for n in unit) <= 1
        if 'cpu/psamask.cpp' in unit:  # its macros would hit the headers
            assert unit[-1] == 'cpu/psamask.cpp'
    assert ['pybind.cpp'] in units


def fake_tree(folder, failing=()):
    """A source tree whose setup.py 'compiles' what its globs find."""
    root = folder / build_mmcv.SOURCES
    (root / 'cpu').mkdir(parents=True)
    for name in ('a.cpp', 'b.cpp', 'c.cpp', 'cpu/d.cpp'):
        (root / name).touch()
    (folder / 'setup.py').write_text(f"""\
import glob, json, os, sys
assert sys.argv[1] == 'bdist_wheel'
units = glob.glob('./{build_mmcv.SOURCES}/*.cpp')
units += glob.glob('./{build_mmcv.SOURCES}/cpu/*.cpp')
others = glob.glob('./*.py')
assert others == ['./setup.py'], others
bad = 0
for i, unit in enumerate(units):
    text = open(unit).read()
    if any(name in text and text.count('#') > 1 for name in {failing!r}):
        print('FAILED: /x/' + os.path.basename(unit)[:-4] + '.o')
        bad = 1
    print(f'@[{{i + 1}}/{{len(units)}}] c++', flush=True)
if bad:
    sys.exit(1)
os.makedirs('unity/dist', exist_ok=True)
with open('unity/dist/mmcv-2.1.0-py3-none-any.whl', 'w') as f:
    json.dump([open(u).read() for u in units], f)
""")
    return folder


@pytest.mark.parametrize('failing', [(), ('b.cpp', )])
def test_build(tmp_path, capsys, failing):
    tree = fake_tree(tmp_path / 'tree', failing)
    wheel = build_mmcv.build(tree, tmp_path / 'out', 2)
    units = json.loads(wheel.read_text())
    names = re.findall(r'pytorch/(\S+\.cpp)', ''.join(units))
    assert sorted(names) == ['a.cpp', 'b.cpp', 'c.cpp', 'cpu/d.cpp']
    text = capsys.readouterr().out
    assert 'objects' in text and 'built in' in text
    if failing:
        assert 'trying their halves' in text
        assert any(unit.count('#') == 1 and 'b.cpp' in unit for unit in units)


def test_build_that_cannot_succeed_stops(tmp_path):
    tree = fake_tree(tmp_path / 'tree')
    with open(tree / 'setup.py', 'a') as f:
        f.write("sys.exit('no such luck')\n")
    with pytest.raises(SystemExit, match='building mmcv failed'):
        build_mmcv.build(tree, tmp_path / 'out', 2)
    assert not (tmp_path / 'out').exists()


def test_the_command_of_a_clone_works_in_any_folder(tmp_path):
    for name, text in (('make', f'echo {tmp_path}/python'),
                       ('python', 'echo "$PYTHONPATH" "$@"')):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\n{text}\n')
        script.chmod(0o755)
    link = tmp_path / 'link'
    link.symlink_to(ROOT / 'bin/mmkd')
    found = subprocess.run([link, 'check', 'a b.py'],
                           env={
                               'PATH': f'{tmp_path}:{os.environ["PATH"]}',
                               'PYTHONPATH': '/other'
                           },
                           capture_output=True,
                           text=True,
                           check=True)
    assert found.stdout == f'{ROOT}:/other -m mmkd check a b.py\n'
