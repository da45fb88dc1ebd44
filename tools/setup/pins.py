# Copyright (c) mmkd contributors. All rights reserved.
"""The pinned versions, and names derived from them."""
import hashlib
import os
import platform
import re
import sys
from pathlib import Path

from commands import SetupError

ROOT = Path(__file__).resolve().parents[2]
# Raise it when the recipe below changes so that existing environments no
# longer fit.
RECIPE = 2
LOCK = ROOT / 'lock.txt'


def cache_root(environ=os.environ):
    """The folder that all clones share."""
    if environ.get('MMKD_CACHE'):
        return Path(environ['MMKD_CACHE']).expanduser().absolute()
    base = environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return Path(base) / 'mmkd'


def read_lines(path):
    """The lines of a requirements file, without comments."""
    lines = Path(path).read_text(encoding='utf-8').splitlines()
    return [line for line in (x.split('#')[0].strip() for x in lines) if line]


def read_pins(path=ROOT / 'constraints.txt'):
    """The pinned versions by normalised name."""
    pairs = (line.split('==') for line in read_lines(path))
    return {normalise(name): version for name, version in pairs}


def read_lock(pins, path=LOCK):
    """The lines of the lock file by normalised name.

    Args:
        pins (dict[str, str]): Versions by name, all of which must be locked.

    Raises:
        SetupError: If a package is missing, has another version than in
            ``pins``, or has no hash.
    """
    lines = {}
    for line in read_lines(path):
        match = re.fullmatch(r'([\w.-]+)==(\S+)( --hash=sha256:[0-9a-f]{64})+',
                             line)
        if not match:
            raise SetupError(f'{path.name} has no hash in the line '
                             f'"{line[:60]}"; make lock writes it anew')
        lines[normalise(match[1])] = line
    for name, version in pins.items():
        if not lines.get(name, '').startswith(f'{name}=={version} '):
            raise SetupError(f'{path.name} does not list {name} {version} of '
                             'constraints.txt; make lock writes it anew')
    return lines


def normalise(name):
    """A distribution's name in its canonical spelling."""
    return re.sub(r'[-_.]+', '-', name.strip()).lower()


def platform_tag():
    """System, machine and, if relevant, the C library."""
    parts = [platform.system().lower(), platform.machine()]
    return '-'.join(filter(None, [*parts, ''.join(platform.libc_ver())]))


def python_tag():
    """Tag of the interpreter, such as ``cp311``."""
    return f'cp{sys.version_info[0]}{sys.version_info[1]}'


def env_key(root=ROOT, tag=None):
    """Name of the environment: a hash of its contents."""
    digest = hashlib.sha256(f'{RECIPE} {platform_tag()}'.encode())
    if os.environ.get('MMKD_MMCV') == 'cuda':  # requested by hand
        digest.update(b' cuda')
    for name in ('constraints.txt', 'lock.txt'):
        text = '\n'.join(read_lines(Path(root) / name))
        digest.update(f'\n[{name}]\n{text}'.encode())
    return f'{tag or python_tag()}-{digest.hexdigest()[:12]}'


def wheel_key(pins, kind='cpu', tag=None):
    """Name of mmcv's wheel, which is independent of other pins."""
    return (f'mmcv-{pins["mmcv"]}-torch-{pins["torch"]}-{tag or python_tag()}'
            f'-{platform_tag()}-{kind}')
