# Copyright (c) mmkd contributors. All rights reserved.
"""Prepare the environment that ``make`` uses, and tell where it is.

The environment lives in a cache folder of the user, under a name made of the
pinned versions, so every clone with the same pins shares it and starts in
seconds. It holds all that mmkd needs but not mmkd itself: a clone is found by
the place of its own files (``make`` sets ``PYTHONPATH``, the programs in
``tools/`` look beside themselves), and two clones never mix.

It is made in stages, each of which leaves a mark when it is done; after an
interruption the next call goes on behind the last mark, and the build of
mmcv behind its last object.

Only the standard library is used here.
"""
import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import threading
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON_VERSION = (3, 11)
# Raise it when the recipe below changes so that ready environments no
# longer fit.
RECIPE = 1
REQUIREMENTS = ('runtime', 'seg', 'det', 'det3d', 'scenes', 'dev')
NEEDED_GB = 12

# Distributions that stand in for others: the name is required by somebody
# downstream, but its files are not wanted.
STAND_INS = {
    # Both opencv packages write the same folder; only the headless one
    # imports on a machine without libGL.
    'opencv-python': 'opencv-python-headless',
    # A backport for Python < 3.5, required by cityscapesScripts.
    'typing': None,
}

# System libraries that open3d's windows and depth cameras use, and the prefix
# of what it takes from each. A machine without a screen often lacks them, and
# then open3d does not even import.
SCREEN_LIBRARIES = {
    'libX11.so.6': 'X',
    'libGL.so.1': 'gl',
    'libudev.so.1': 'udev_',
}

# How pip says that it reached no package index.
NO_NETWORK = (r'connection broken by|Could not fetch URL|Max retries exceeded|'
              r'Read timed out')

# Prints what torch requires, is large (its CUDA libraries), and is not there.
LARGE_PARTS = """
from importlib.metadata import PackageNotFoundError, requires, version
from pip._vendor.packaging.requirements import Requirement
for line in requires('torch') or []:
    part = Requirement(line)
    if not part.name.startswith(('nvidia', 'triton')):
        continue
    if part.marker and not part.marker.evaluate({'extra': ''}):
        continue
    try:
        if part.specifier.contains(version(part.name)):
            continue
    except PackageNotFoundError:
        pass
    print(f'{part.name}{part.specifier}')
"""

IMPORTS = ('torch', 'torchvision', 'cv2', 'mmengine', 'mmcv', 'mmcv.ops',
           'mmdet', 'mmseg', 'mmdet3d', 'open3d', 'nuscenes',
           'pycocotools.mask', 'cityscapesscripts', 'scipy', 'shapely',
           'tensorboard', 'safetensors', 'matplotlib', 'pytest')


class SetupError(Exception):
    """A set-up that cannot go on; the text is one line for the user."""


def say(text):
    """Print a line of progress (stdout is kept for answers)."""
    print(f'mmkd: {text}', file=sys.stderr, flush=True)


def clock(seconds):
    """Minutes and seconds as text."""
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


def size_of(folder):
    """Bytes that the files of a folder take."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(base, name)).st_size
    return total


# --------------------------------------------------------------------------
# names


def cache_root(environ=os.environ):
    """The folder for everything that clones share."""
    if environ.get('MMKD_CACHE'):
        return Path(environ['MMKD_CACHE']).expanduser().absolute()
    base = environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return Path(base) / 'mmkd'


def read_pins(path=ROOT / 'constraints.txt'):
    """Read the constraints file.

    Returns:
        dict[str, str]: Version by normalised name.
    """
    pins = {}
    for line in Path(path).read_text(encoding='utf-8').splitlines():
        line = line.split('#')[0].strip()
        if line:
            name, _, version = line.partition('==')
            pins[normalise(name)] = version.strip()
    return pins


def normalise(name):
    """A distribution's name in its canonical spelling."""
    return re.sub(r'[-_.]+', '-', name.strip()).lower()


def platform_tag():
    """System, machine and, where it matters, the C library."""
    libc, version = platform.libc_ver()
    parts = [platform.system().lower(), platform.machine()]
    if libc:
        parts.append(f'{libc}{version}')
    return '-'.join(parts)


def python_tag(version=sys.version_info):
    """Tag of the interpreter, such as ``cp311``."""
    return f'cp{version[0]}{version[1]}'


def env_key(root=ROOT, tag=None):
    """Name of the environment: what it is made of, as a hash."""
    digest = hashlib.sha256(f'{RECIPE} {platform_tag()}'.encode())
    if os.environ.get('MMKD_MMCV') == 'cuda':  # asked for by hand
        digest.update(b' cuda')
    files = ['constraints.txt']
    files += [f'requirements/{name}.txt' for name in REQUIREMENTS]
    for name in files:
        lines = [
            line.split('#')[0].strip()
            for line in (Path(root) /
                         name).read_text(encoding='utf-8').splitlines()
        ]
        text = '\n'.join(line for line in lines if line)
        digest.update(f'\n[{name}]\n{text}'.encode())
    return f'{tag or python_tag()}-{digest.hexdigest()[:12]}'


def wheel_key(pins, kind='cpu', tag=None):
    """Name of mmcv's wheel: it outlives changes of all other pins."""
    return (f'mmcv-{pins["mmcv"]}-torch-{pins["torch"]}-{tag or python_tag()}'
            f'-{platform_tag()}-{kind}')


# --------------------------------------------------------------------------
# checks


def check_python(version=None):
    """Stop unless this interpreter is of the version that is pinned."""
    version = tuple(version or sys.version_info[:2])
    if version != PYTHON_VERSION:
        want = '.'.join(map(str, PYTHON_VERSION))
        have = '.'.join(map(str, version))
        raise SetupError(
            f'Python {want} is needed, this is {have}; install python{want} '
            f'or name one: make env PYTHON=/path/to/python{want}')


def check_venv():
    """Stop if this Python cannot make virtual environments."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        name = f'python{sys.version_info[0]}.{sys.version_info[1]}-venv'
        raise SetupError(
            'this Python has no venv module; install it (Debian, Ubuntu: '
            f'apt-get install {name})') from None


def compiler():
    """The C++ compiler that the build of mmcv will use, as a list."""
    command = os.environ.get('CXX') or sysconfig.get_config_var('CXX')
    command = (command or 'g++').split()
    if shutil.which(command[0]) is None and 'CXX' not in os.environ:
        command = ['g++']
    return command


def check_compiler():
    """Stop unless a C++17 file that includes Python.h compiles."""
    command = compiler()
    debian = 'Debian, Ubuntu: apt-get install'
    if shutil.which(command[0]) is None:
        raise SetupError(f'no C++ compiler ({command[0]}) found, and mmcv '
                         f'must be compiled; install one ({debian} g++)')
    include = sysconfig.get_paths()['include']
    if not (Path(include) / 'Python.h').exists():
        name = f'python{sys.version_info[0]}.{sys.version_info[1]}-dev'
        raise SetupError(f'the header files of this Python (Python.h) are '
                         f'missing; install them ({debian} {name})')
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / 'probe.cpp'
        probe.write_text('#include <Python.h>\n#include <optional>\n'
                         'std::optional<int> value;\n')
        done = subprocess.run(
            command +
            ['-std=c++17', f'-I{include}', '-fsyntax-only',
             str(probe)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True)
    if done.returncode:
        error = next(
            (line for line in done.stderr.splitlines() if 'error' in line),
            done.stderr.strip().partition('\n')[0])
        raise SetupError(f'{command[0]} does not compile C++17 ({error}); '
                         f'install g++ 9 or newer ({debian} g++)')


def check_disk(folder):
    """Warn if the disk may be too small."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < NEEDED_GB:
        say(f'only {free:.1f} GB are free in {folder}, about {NEEDED_GB} GB '
            'are needed; MMKD_CACHE=/other/folder puts it elsewhere')


# --------------------------------------------------------------------------
# running things


class Heartbeat:
    """Say every now and then that a quiet step is still alive."""

    def __init__(self, what, seconds=20):
        self.what = what
        self.seconds = seconds
        self.done = threading.Event()
        self.last = time.time()
        self.start = time.time()

    def touch(self, what=None):
        """Note that something was just printed."""
        self.last = time.time()
        self.what = what or self.what

    def __enter__(self):
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *args):
        self.done.set()

    def _run(self):
        while not self.done.wait(1):
            if time.time() - self.last >= self.seconds:
                say(f'... {self.what}, {clock(time.time() - self.start)}')
                self.last = time.time()


class Setup:
    """One environment and the stages that make it.

    Args:
        cache (Path): The shared folder.
        pins (dict): Versions, from :func:`read_pins`.
    """

    def __init__(self, cache=None, pins=None):
        self.cache = cache or cache_root()
        self.pins = pins or read_pins()
        self.key = env_key()
        self.env = self.cache / 'env' / self.key
        self.python = self.env / 'bin' / 'python'
        self.marks = self.env / '.mmkd'
        self.log = self.cache / 'log' / f'{self.key}.log'
        self.build = None
        self.lock_fds = ()

    # -- state

    def ready(self):
        """Whether the environment is complete."""
        return (self.marks / 'ready').exists() and self.python.exists()

    @contextlib.contextmanager
    def lock(self):
        """Let one set-up work at a time."""
        self.cache.mkdir(parents=True, exist_ok=True)
        with open(self.cache / 'lock', 'a+', encoding='utf-8') as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                handle.seek(0)
                say(f'another set-up is at work (process '
                    f'{handle.read().strip() or "unknown"}); waiting for it')
                fcntl.flock(handle, fcntl.LOCK_EX)
            handle.seek(0)
            handle.truncate()
            handle.write(str(os.getpid()))
            handle.flush()
            self.lock_fds = (handle.fileno(), )
            try:
                yield
            finally:
                self.lock_fds = ()

    def stage(self, name, text, function):
        """Run a stage unless its mark is there."""
        mark = self.marks / name
        if mark.exists():
            say(f'{text}: done before')
            return
        say(f'{text} ...')
        started = time.time()
        function()
        self.marks.mkdir(parents=True, exist_ok=True)
        seconds = time.time() - started
        mark.write_text(json.dumps(dict(seconds=round(seconds, 1))))
        say(f'{text}: {clock(seconds)} min')

    # -- commands

    def clean_environ(self, **more):
        """The caller's variables without those that lead pip astray."""
        env = {
            k: v
            for k, v in os.environ.items()
            if k not in ('PYTHONPATH', 'PYTHONHOME', 'PIP_TARGET',
                         'PIP_PREFIX', 'PIP_USER', 'PIP_REQUIREMENT',
                         'VIRTUAL_ENV', 'MAKEFLAGS')
        }
        env['PATH'] = str(self.env / 'bin') + os.pathsep + env['PATH']
        env.update(PIP_DISABLE_PIP_VERSION_CHECK='1', PIP_NO_INPUT='1')
        env.update(more)
        return env

    def run(self, command, what, show=None, **environ):
        """Run a command, its output in the log and, filtered, shown."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        tail = []
        with open(self.log, 'a', encoding='utf-8') as log, \
                Heartbeat(what) as heartbeat:
            log.write(f'\n$ {" ".join(map(str, command))}\n')
            log.flush()
            process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors='replace',
                # a child that outlives this process keeps the lock
                pass_fds=self.lock_fds,
                env=self.clean_environ(**environ))
            try:
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    tail = (tail + [line.rstrip()])[-15:]
                    text = show(line.rstrip()) if show else None
                    if text:
                        say(text)
                        heartbeat.touch(text.strip())
            except BaseException:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()
                raise
            if process.wait():
                print('\n'.join(tail), file=sys.stderr)
                errors = [
                    line for line in tail if re.match(r'ERROR|error', line)
                ]
                reason = f' ({errors[0]})' if errors else ''
                if re.search(NO_NETWORK, '\n'.join(tail)):
                    reason = ': the package index is out of reach'
                raise SetupError(
                    f'failed at "{what}"{reason}; all output is in '
                    f'{self.log}, run make again to go on')

    def pip(self, what, *args):
        """Run pip with the pins; mend first what an interruption left."""
        say(f'  {what}')
        self.mend()
        self.run([
            self.python, '-m', 'pip', 'install', '--prefer-binary',
            '--no-compile', '--progress-bar', 'off', '-c',
            ROOT / 'constraints.txt', *args
        ],
                 what,
                 show=show_pip)

    def mend(self):
        """Forget distributions whose installation was cut off.

        pip writes ``RECORD`` last; without it a distribution counts as
        installed though files may be missing.
        """
        for info in (self.env / 'lib').glob('*/site-packages/*.dist-info'):
            if not (info / 'RECORD').exists():
                shutil.rmtree(info)
        for rest in (self.env / 'lib').glob('*/site-packages/~*'):
            shutil.rmtree(rest) if rest.is_dir() else rest.unlink()

    # -- stages

    def make_venv(self):
        """An empty virtual environment."""
        if self.env.exists():
            shutil.rmtree(self.env)
        self.env.parent.mkdir(parents=True, exist_ok=True)
        self.run([sys.executable, '-m', 'venv', self.env],
                 'making the virtual environment')

    def install_torch(self):
        """torch, and what the build of mmcv needs beside it.

        The large parts come one by one, so an interruption costs one of
        them and not all.
        """
        torch = f'torch=={self.pins["torch"]}'
        self.pip('torch itself', '--no-deps', torch)
        parts = self.ask(LARGE_PARTS).splitlines()
        for i, part in enumerate(parts):
            self.pip(f'part {i + 1} of {len(parts)}, {part.split("=")[0]}',
                     '--no-deps', part)
        names = ('numpy', 'setuptools', 'wheel', 'ninja', 'torchvision')
        self.pip('what goes with torch', torch,
                 *(f'{name}=={self.pins[name]}' for name in names))

    def ask(self, code):
        """What a few lines of code print in the environment."""
        return subprocess.run([self.python, '-c', code],
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL,
                              text=True,
                              env=self.clean_environ()).stdout

    def kind(self):
        """Whether mmcv is built for the CPU alone, or with CUDA kernels.

        CUDA kernels need a GPU and a CUDA compiler of torch's major version;
        MMKD_MMCV=cpu or =cuda decides by hand.
        """
        choice = os.environ.get('MMKD_MMCV', '')
        if choice not in ('', 'cpu', 'cuda'):
            raise SetupError(f'MMKD_MMCV is {choice!r}; say cpu or cuda')
        if choice == 'cpu':
            return 'cpu'
        devices = ('/dev/nvidiactl', '/dev/dxg')
        if not choice and not any(map(os.path.exists, devices)):
            return 'cpu'
        code = ('import subprocess as s, torch\n'
                'from torch.utils.cpp_extension import CUDA_HOME as h\n'
                'v = s.run([h + "/bin/nvcc", "--version"], text=True, '
                'capture_output=True).stdout if h and '
                'torch.version.cuda and torch.cuda.is_available() else ""\n'
                'print(torch.version.cuda, torch.cuda.is_available(), '
                'v.partition("release ")[2].partition(",")[0])')
        words = (self.ask(code).split() + ['', '', ''])[:3]
        fits = words[2] and words[0].split('.')[0] == words[2].split('.')[0]
        if choice == 'cuda' and words[0] in ('', 'None'):
            raise SetupError('MMKD_MMCV=cuda, but this torch has no CUDA')
        if words[1] == 'True' and fits or choice == 'cuda':
            return 'cu' + words[0].replace('.', '')
        if words[1] == 'True':
            say(f'a GPU, but no CUDA compiler (nvcc) of version {words[0]}: '
                'the operators of mmcv are built for the CPU alone')
        return 'cpu'

    def find_wheel(self, kind):
        """The built wheel of mmcv, or None."""
        pattern = f'{wheel_key(self.pins, kind)}/mmcv-*.whl'
        wheels = sorted((self.cache / 'wheels').glob(pattern))
        return wheels[0] if wheels else None

    def build_mmcv(self):
        """The wheel of mmcv with its operators, unless it is there."""
        kind = self.kind()
        if self.find_wheel(kind):
            if self.build is None:
                say('mmcv: its wheel is in the cache')
            return
        check_compiler()
        key = wheel_key(self.pins, kind)
        build = self.cache / 'build' / key
        tree = build / f'mmcv-{self.pins["mmcv"]}'
        if not tree.exists():
            build.mkdir(parents=True, exist_ok=True)
            self.run([
                self.python, '-m', 'pip', 'download', '--no-deps',
                '--no-binary', 'mmcv', '--no-build-isolation',
                '--progress-bar', 'off', '-d', build,
                f'mmcv=={self.pins["mmcv"]}'
            ], 'downloading mmcv')
            archive = next(build.glob('mmcv-*.tar.gz'))
            part = build / 'part'
            shutil.rmtree(part, ignore_errors=True)
            with tarfile.open(archive) as handle:
                handle.extractall(part)
            os.replace(next(part.iterdir()), tree)
            shutil.rmtree(part)
        started = time.time()
        environ = {} if kind != 'cpu' else dict(
            CUDA_VISIBLE_DEVICES='', FORCE_CUDA='0')
        if kind != 'cpu':
            environ['FORCE_CUDA'] = '1'
        self.run([
            self.python,
            Path(__file__).with_name('build_mmcv.py'), tree,
            self.cache / 'wheels' / key
        ],
                 'compiling mmcv',
                 show=lambda line: line if line.startswith('mmcv') else None,
                 CXX=' '.join(compiler()),
                 **environ)
        self.build = time.time() - started
        shutil.rmtree(build)

    def install_packages(self):
        """All other packages, with mmcv from its wheel."""
        self.build_mmcv()
        with tempfile.TemporaryDirectory() as folder:
            wheels = [
                write_stand_in(
                    Path(folder), name, self.pins[name], other,
                    self.pins.get(other or ''))
                for name, other in STAND_INS.items()
            ]
            files = []
            for name in REQUIREMENTS:
                files += ['-r', ROOT / 'requirements' / f'{name}.txt']
            self.pip('open3d', '--no-deps', f'open3d=={self.pins["open3d"]}')
            self.pip('all others', *wheels, 'opencv-python-headless',
                     self.find_wheel(self.kind()), *files)

    def fill_libraries(self):
        """Put placeholders for screen libraries that the system lacks.

        Their functions return null ("no display", "no device"), which is the
        truth on such a machine. open3d finds them by its own search path.
        """
        missing = [name for name in SCREEN_LIBRARIES if not loads(name)]
        modules = sorted(
            (self.env / 'lib').glob('*/site-packages/open3d/cpu/pybind*.so'))
        if not missing or not modules:
            return
        say(f'no {", ".join(missing)} here: placeholders let open3d import '
            '(without windows; nothing of mmkd opens one)')
        done = subprocess.run(['nm', '-D', '--undefined-only', modules[0]],
                              capture_output=True,
                              text=True)
        for name in missing:
            symbols = re.findall(rf' U ({SCREEN_LIBRARIES[name]}\w+)(@\w+)?',
                                 done.stdout)
            write_placeholder(modules[0].parents[1] / name, symbols)

    def verify(self):
        """Import everything and let mmcv's operators compute."""
        code = '; '.join(f'import {name}' for name in IMPORTS)
        self.run([self.python, '-W', 'ignore', '-c', code],
                 'importing the packages')
        self.run([
            self.python, '-W', 'ignore',
            Path(__file__).with_name('check_ops.py')
        ], 'trying the operators of mmcv')

    def prepare(self):
        """Do what is not done yet."""
        if self.ready():
            return
        check_python()
        with self.lock():
            if self.ready():
                return
            started = time.time()
            say(f'preparing the environment in {self.env}')
            check_disk(self.cache)
            if not any(map(self.find_wheel, ('cpu', 'cu*'))):
                check_compiler()  # now, not after the downloads
            if not (self.marks / 'venv').exists():
                check_venv()
            if self.marks.exists() and not self.python.exists():
                say('the Python that the environment was made with is gone')
                shutil.rmtree(self.marks)
            self.stage('venv', '1/5 virtual environment', self.make_venv)
            self.stage('torch', '2/5 torch', self.install_torch)
            self.stage('mmcv', '3/5 mmcv', self.build_mmcv)
            self.stage('packages', '4/5 packages', self.install_packages)
            self.fill_libraries()
            self.stage('checked', '5/5 check', self.verify)
            size = size_of(self.env)
            seconds = time.time() - started
            (self.marks / 'ready').write_text(
                json.dumps(dict(seconds=round(seconds, 1), bytes=size)))
            built = f', of which compiling mmcv {clock(self.build)}' \
                if self.build else ''
            say(f'ready after {clock(seconds)} min{built}; '
                f'{size / 1e9:.1f} GB in {self.env}')
            others = [
                p for p in (self.cache / 'env').iterdir()
                if p.is_dir() and p != self.env
            ]
            if others:
                say(f'{len(others)} environment(s) of other pins are there '
                    'too; make clean-env OLD=1 removes them')

    def clean(self, old):
        """Remove the environment, or all but this one."""
        with self.lock():
            folders = [self.env]
            if old:
                folders = [
                    p for p in (self.cache / 'env').glob('*') if p != self.env
                ]
            for folder in folders:
                if folder.exists():
                    say(f'removing {folder}')
                    with contextlib.suppress(FileNotFoundError):
                        (folder / '.mmkd' / 'ready').unlink()
                    shutil.rmtree(folder)


def show_pip(line):
    """What of pip's output is worth a line."""
    line = line.strip()
    match = re.match(r'Downloading \S*?([^/ ]+)\.(?:whl|tar\.gz) \((.*)\)',
                     line)
    if match and re.match(r'\d\d+\.?\d* [MG]B', match[2]):
        name = '-'.join(match[1].split('-')[:2])
        return f'  downloading {name}, {match[2]}'
    if line.startswith('Installing collected packages') and ',' in line:
        return f'  writing {line.count(",") + 1} packages to disk'
    return None


def loads(name):
    """Whether the system has a shared library."""
    import ctypes
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def write_placeholder(path, symbols):
    """Compile a shared library whose functions return null.

    Args:
        path (Path): The library; its name is its soname.
        symbols (list[tuple[str, str]]): Names of its functions, each with
            ``@VERSION`` or an empty string.
    """
    code = ''.join(f'void *{name}(void) {{ return 0; }}\n'
                   for name, _ in symbols)
    versions = {}
    for name, version in symbols:
        if version:
            versions.setdefault(version[1:], []).append(name)
    script = ''.join(f'{version} {{ global: {"; ".join(names)}; }};\n'
                     for version, names in versions.items())
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / 'placeholder.c'
        source.write_text(code)
        built = Path(folder) / path.name
        command = [
            'gcc', '-shared', '-fPIC', f'-Wl,-soname,{path.name}', '-o', built,
            source
        ]
        if script:
            source.with_name('map').write_text(script)
            command.append(f'-Wl,--version-script,{folder}/map')
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise SetupError(
                f'open3d needs {path.name}; install it (Debian, Ubuntu: '
                'apt-get install libgl1 libx11-6 libudev1)') from None
        shutil.copy(built, path)


def write_stand_in(folder, name, version, other, other_version):
    """Write a wheel without modules that satisfies a requirement.

    Args:
        folder (Path): Where to write it.
        name (str): The distribution it stands in for.
        version (str): The version of that.
        other (str, optional): The distribution that has the modules.
        other_version (str, optional): The version of that.

    Returns:
        Path: The wheel.
    """
    version = f'{version}+mmkd'
    base = f'{name.replace("-", "_")}-{version}'
    info = f'{base}.dist-info'
    where = f'from {other}' if other else 'in the standard library'
    metadata = (f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
                f'Summary: No files: the modules are {where}.\n')
    if other:
        metadata += f'Requires-Dist: {other}=={other_version}\n'
    files = {
        f'{info}/METADATA':
        metadata,
        f'{info}/WHEEL':
        'Wheel-Version: 1.0\nGenerator: mmkd\n'
        'Root-Is-Purelib: true\nTag: py3-none-any\n'
    }
    record = ''.join(f'{path},,\n' for path in [*files, f'{info}/RECORD'])
    path = folder / f'{base}-py3-none-any.whl'
    with zipfile.ZipFile(path, 'w') as wheel:
        for where, text in files.items():
            wheel.writestr(where, text)
        wheel.writestr(f'{info}/RECORD', record)
    return path


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        'job',
        choices=['prepare', 'python', 'clean', 'info'],
        help='prepare the environment; print its interpreter (after '
        'preparing it); remove it; or tell about it')
    parser.add_argument(
        '--old',
        action='store_true',
        help='with clean: remove the environments of other pins instead')
    args = parser.parse_args(argv)
    # A kill is to be an ordinary interruption: marks and locks stay sound.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        check_python()
        setup = Setup()
        if args.job == 'clean':
            setup.clean(args.old)
        elif args.job == 'info':
            print(f'environment  {setup.env}'
                  f'{"" if setup.ready() else "  (not complete)"}\n'
                  f'log          {setup.log}')
        else:
            setup.prepare()
            if args.job == 'python':
                print(setup.python)
    except SetupError as error:
        print(f'mmkd: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say('interrupted; run make again to go on from here')
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
