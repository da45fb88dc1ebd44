# Copyright (c) mmkd contributors. All rights reserved.
"""Prepare the environment that ``make`` uses, and print its interpreter.

It is a virtual environment in the user's cache, named after a hash of the
pinned versions, so all clones with the same pins share it. It holds what
mmkd needs but not mmkd itself: ``make`` sets ``PYTHONPATH``, and the programs
in ``tools/`` look beside themselves. pip installs just what lock.txt lists,
without resolving anything, and refuses files of other hashes. mmcv is compiled
by build_mmcv.py, and its wheel is kept for environments of other pins.

Each completed stage leaves a mark. After an interruption, the next call
resumes after the last mark, and the build of mmcv after its last object.

Only the standard library is used here.
"""
import argparse
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import stand_ins
from commands import FULL_DISK, SetupError, run, say
from machine import (DEBIAN, PYTHON_VERSION, check_compiler, check_platform,
                     check_python, compiler, mmcv_kind)
from pins import cache_root, env_key, read_lock, read_pins, wheel_key

NEEDED_GB = 12
MODULES = ('torch', 'torchvision', 'cv2', 'mmengine', 'mmcv', 'mmcv.ops',
           'mmdet', 'mmseg', 'mmdet3d', 'open3d', 'nuscenes',
           'pycocotools.mask', 'cityscapesscripts', 'scipy', 'shapely',
           'tensorboard', 'safetensors', 'matplotlib', 'pytest')


class CacheError(SetupError):
    """The cache folder is of no use; a setting of the user's is wrong."""


def sha256(path):
    """The hash of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hash_file(wheel):
    """The file with the hash of a built wheel."""
    return wheel.with_name(wheel.name + '.sha256')


class Setup:
    """An environment, and the stages that make it.

    Args:
        cache (Path, optional): The shared folder.
    """

    def __init__(self, cache=None):
        self.cache = cache or cache_root()
        self.pins = read_pins()
        self.locked = read_lock({
            name: version
            for name, version in self.pins.items()
            if name not in stand_ins.DISTRIBUTIONS
        })
        self.key = env_key()
        self.env = self.cache / 'env' / self.key
        self.python = self.env / 'bin' / 'python'
        self.marks = self.env / '.mmkd'
        self.log = self.cache / 'log' / f'{self.key}.log'
        self.lock_fds = ()

    def ready(self):
        """Whether the environment is complete."""
        return (self.marks / 'ready').exists() and self.python.exists()

    @contextlib.contextmanager
    def lock(self):
        """Allow one set-up at a time in the cache."""
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            handle = open(self.cache / 'lock', 'a+', encoding='utf-8')
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise CacheError(
                f'the cache folder {self.cache} cannot be used ({error}); '
                'MMKD_CACHE=/other/folder names another') from None
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                handle.seek(0)
                say(f'another set-up is running (process '
                    f'{handle.read().strip() or "unknown"}); waiting for it')
                fcntl.flock(handle, fcntl.LOCK_EX)
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            # A child that outlives this process keeps the lock.
            self.lock_fds = (handle.fileno(), )
            yield
            self.lock_fds = ()

    def stage(self, name, text, function):
        """Run a stage unless its mark exists."""
        if (self.marks / name).exists():
            say(f'{text}: done before')
            return
        say(f'{text} ...')
        started = time.time()
        function()
        self.marks.mkdir(parents=True, exist_ok=True)
        (self.marks / name).touch()
        say(f'{text}: {time.time() - started:.0f} s')

    def environ(self, **more):
        """The caller's variables without those that would mislead pip."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if key not in ('PYTHONPATH', 'PYTHONHOME', 'VIRTUAL_ENV',
                           'MAKEFLAGS', 'PIP_TARGET', 'PIP_PREFIX', 'PIP_USER',
                           'PIP_REQUIREMENT')
        }
        kept['PATH'] = f'{self.env}/bin{os.pathsep}{kept["PATH"]}'
        return dict(
            kept, PIP_DISABLE_PIP_VERSION_CHECK='1', PIP_NO_INPUT='1', **more)

    def run(self, command, what, **environ):
        """Run a command in the environment; see :func:`commands.run`."""
        run(command, what, self.log, self.environ(**environ), self.lock_fds)

    def pip(self, what, *args):
        """Install packages, after removing partial installations."""
        self.mend()
        self.run([
            self.python, '-m', 'pip', 'install', '--no-deps', '--only-binary',
            ':all:', '--no-compile', '--progress-bar', 'off', *args
        ], what)

    def mend(self):
        """Remove distributions whose installation was interrupted.

        pip writes ``RECORD`` last; without it a distribution counts as
        installed though files may be missing.
        """
        for info in self.env.glob('lib/*/site-packages/*.dist-info'):
            if not (info / 'RECORD').exists():
                shutil.rmtree(info)
        for rest in self.env.glob('lib/*/site-packages/~*'):
            shutil.rmtree(rest) if rest.is_dir() else rest.unlink()

    def make_venv(self):
        """An empty virtual environment."""
        try:
            import ensurepip  # noqa: F401
            import venv  # noqa: F401
        except ImportError:
            name = f'python{PYTHON_VERSION[0]}.{PYTHON_VERSION[1]}-venv'
            raise SetupError('this Python has no venv module; install it '
                             f'({DEBIAN} {name})') from None
        self.run([sys.executable, '-m', 'venv', '--clear', self.env],
                 'making the virtual environment')

    @contextlib.contextmanager
    def lines_of_lock(self, names):
        """A temporary lock file of some packages only."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'lock.txt'
            path.write_text(''.join(f'{self.locked[n]}\n' for n in names))
            yield path

    def install_packages(self):
        """All that the lock file lists but mmcv."""
        names = [name for name in self.locked if name != 'mmcv']
        with self.lines_of_lock(names) as path:
            self.pip('installing the packages', '--require-hashes', '-r', path)

    def find_wheel(self, kind):
        """The built wheel of mmcv if it is whole, or None."""
        pattern = f'{wheel_key(self.pins, kind)}/mmcv-*.whl'
        for wheel in (self.cache / 'wheels').glob(pattern):
            if hash_file(wheel).exists():
                if hash_file(wheel).read_text() == sha256(wheel):
                    return wheel
                say(f'{wheel.name} in the cache is damaged')
        return None

    def build_mmcv(self):
        """Build mmcv's wheel with its operators, unless it is cached."""
        kind = mmcv_kind(self.python, self.environ())
        wheel = self.find_wheel(kind)
        if wheel:
            return wheel
        check_compiler()
        key = wheel_key(self.pins, kind)
        build = self.cache / 'build' / key
        tree = build / f'mmcv-{self.pins["mmcv"]}'
        if not tree.exists():
            build.mkdir(parents=True, exist_ok=True)
            with self.lines_of_lock(['mmcv']) as path:
                self.run([
                    self.python, '-m', 'pip', 'download', '--no-deps',
                    '--no-binary', 'mmcv', '--no-build-isolation', '-d', build,
                    '--require-hashes', '-r', path
                ], 'downloading mmcv')
            with tarfile.open(next(build.glob('mmcv-*.tar.gz'))) as archive:
                archive.extractall(build / 'part')
            os.replace(next((build / 'part').iterdir()), tree)
        cuda = dict(FORCE_CUDA='1') if kind != 'cpu' else dict(
            FORCE_CUDA='0', CUDA_VISIBLE_DEVICES='')
        self.run([
            self.python,
            Path(__file__).with_name('build_mmcv.py'), tree,
            self.cache / 'wheels' / key
        ],
                 'compiling mmcv',
                 CXX=' '.join(compiler()),
                 **cuda)
        shutil.rmtree(build)
        wheel = next((self.cache / 'wheels' / key).glob('mmcv-*.whl'))
        hash_file(wheel).write_text(sha256(wheel))
        return wheel

    def install_mmcv(self):
        """mmcv, which is built here, and the stand-ins."""
        wheel = self.build_mmcv()
        with tempfile.TemporaryDirectory() as folder:
            wheels = [
                stand_ins.write_distribution(
                    Path(folder), name, self.pins[name], other,
                    self.pins.get(other))
                for name, other in stand_ins.DISTRIBUTIONS.items()
            ]
            self.pip('installing mmcv', '--no-index', wheel, *wheels)
        missing = stand_ins.fill_libraries(self.env)
        if missing:
            say(f'no {", ".join(missing)} here: placeholders let open3d '
                'import (without windows; mmkd opens none)')

    def verify(self):
        """Import everything and run mmcv's operators."""
        python = [self.python, '-W', 'ignore']
        self.run([*python, '-m', 'pip', 'check'], 'checking the versions')
        self.run([*python, '-c', 'import ' + ', '.join(MODULES)],
                 'importing the packages')
        self.run([*python, Path(__file__).with_name('check_ops.py')],
                 'trying the operators of mmcv')

    def prepare(self):
        """Run the stages that are not complete."""
        if self.ready():
            return
        with self.lock():
            if self.ready():
                return
            started = time.time()
            say(f'preparing the environment in {self.env}')
            free = shutil.disk_usage(self.cache).free / 1e9
            if free < NEEDED_GB:
                say(f'only {free:.1f} GB are free in {self.cache}, about '
                    f'{NEEDED_GB} GB are needed; MMKD_CACHE=/other/folder '
                    'puts it elsewhere')
            if not any(map(self.find_wheel, ('cpu', 'cu*'))):
                check_compiler()  # now, not after the downloads
            if self.marks.exists() and not self.python.exists():
                say('the Python that the environment was made with is gone')
                shutil.rmtree(self.marks)
            self.stage('venv', '1/4 virtual environment', self.make_venv)
            self.stage('packages', '2/4 packages', self.install_packages)
            self.stage('mmcv', '3/4 mmcv', self.install_mmcv)
            self.stage('checked', '4/4 check', self.verify)
            (self.marks / 'ready').touch()
            say(f'ready after {(time.time() - started) / 60:.1f} min')
            if len(list((self.cache / 'env').iterdir())) > 1:
                say('there are environments of other pins too; make '
                    'clean-env OLD=1 removes them')

    def clean(self, old):
        """Remove the environment, or those of other pins."""
        with self.lock():
            for folder in (self.cache / 'env').glob('*'):
                if (folder != self.env) == old:
                    say(f'removing {folder}')
                    (folder / '.mmkd' / 'ready').unlink(missing_ok=True)
                    shutil.rmtree(folder)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        'job',
        choices=['python', 'clean'],
        help='prepare the environment and print its interpreter; or remove it')
    parser.add_argument(
        '--old',
        action='store_true',
        help='with clean: remove the environments of other pins instead')
    args = parser.parse_args(argv)
    # SIGTERM becomes an ordinary interruption: marks and locks stay valid.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        check_python()
        check_platform()
        setup = Setup()
        if args.job == 'clean':
            setup.clean(args.old)
        else:
            setup.prepare()
            print(setup.python)
    except (SetupError, OSError) as error:
        if getattr(error, 'errno', None) == errno.ENOSPC:
            error = FULL_DISK
        print(f'mmkd: {error}', file=sys.stderr)
        return 2 if isinstance(error, CacheError) else 1
    except KeyboardInterrupt:
        say('interrupted; run make again to resume')
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
