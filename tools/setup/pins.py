# Copyright (c) mmkd contributors. All rights reserved.
"""The pinned versions, and the names that follow from them."""
import hashlib
import os
import platform
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Raise it when the recipe below changes so that existing environments no
# longer fit.
RECIPE = 1
REQUIREMENTS = ('runtime', 'seg', 'det', 'det3d', 'scenes', 'dev')


def cache_root(environ=os.environ):
    """The folder for everything that clones share."""
    if environ.get('MMKD_CACHE'):
        return Path(environ['MMKD_CACHE']).expanduser().absolute()
    base = environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return Path(base) / 'mmkd'


def read_lines(path):
    """The lines of a requirements file, without remarks."""
    lines = Path(path).read_text(encoding='utf-8').splitlines()
    return [line for line in (x.split('#')[0].strip() for x in lines) if line]


def read_pins(path=ROOT / 'constraints.txt'):
    """The pinned versions by normalised name."""
    pairs = (line.split('==') for line in read_lines(path))
    return {normalise(name): version for name, version in pairs}


def normalise(name):
    """A distribution's name in its canonical spelling."""
    return re.sub(r'[-_.]+', '-', name.strip()).lower()


def platform_tag():
    """System, machine and, where it matters, the C library."""
    parts = [platform.system().lower(), platform.machine()]
    return '-'.join(filter(None, [*parts, ''.join(platform.libc_ver())]))


def python_tag():
    """Tag of the interpreter, such as ``cp311``."""
    return f'cp{sys.version_info[0]}{sys.version_info[1]}'


def env_key(root=ROOT, tag=None):
    """Name of the environment: a hash of what it is made of."""
    digest = hashlib.sha256(f'{RECIPE} {platform_tag()}'.encode())
    if os.environ.get('MMKD_MMCV') == 'cuda':  # requested by hand
        digest.update(b' cuda')
    requirements = [f'requirements/{name}.txt' for name in REQUIREMENTS]
    for name in ['constraints.txt', *requirements]:
        text = '\n'.join(read_lines(Path(root) / name))
        digest.update(f'\n[{name}]\n{text}'.encode())
    return f'{tag or python_tag()}-{digest.hexdigest()[:12]}'


def wheel_key(pins, kind='cpu', tag=None):
    """Name of mmcv's wheel, which depends on no other pins."""
    return (f'mmcv-{pins["mmcv"]}-torch-{pins["torch"]}-{tag or python_tag()}'
            f'-{platform_tag()}-{kind}')
