# Copyright (c) mmkd contributors. All rights reserved.
"""Write lock.txt: the versions of constraints.txt with hashes of their files.

pip resolves the versions on this machine, which must be of the kind that the
environment is for, and reports which files it would install. What torch
requires beyond constraints.txt, such as its CUDA packages, is listed too.

Only the standard library is used here.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import stand_ins
from commands import SetupError
from machine import check_platform, check_python
from pins import LOCK, normalise, read_pins

HEADER = '# Written by `make lock` from constraints.txt; not edited by hand.\n'


def resolve(pins):
    """Let pip choose the files of pinned packages and of what they require.

    Args:
        pins (dict[str, str]): Versions by name.

    Returns:
        list[dict]: What pip's installation report lists.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
        pip = [
            os.path.join(folder, 'bin', 'python'), '-m', 'pip', 'install',
            '--quiet', '--disable-pip-version-check'
        ]
        # mmcv's setup.py imports what newer versions of setuptools lack.
        tools = [f'{name}=={pins[name]}' for name in ('setuptools', 'wheel')]
        subprocess.run([*pip, *tools], check=True)
        report = Path(folder) / 'report.json'
        subprocess.run([
            *pip, '--dry-run', '--ignore-installed', '--no-build-isolation',
            '--report', report, *(f'{name}=={version}'
                                  for name, version in pins.items())
        ],
                       check=True)
        return json.loads(report.read_text())['install']


def lock_text(packages):
    """The lock file as text.

    Args:
        packages (list[dict]): See :func:`resolve`.
    """
    lines = []
    for package in packages:
        name = normalise(package['metadata']['name'])
        if name in stand_ins.DISTRIBUTIONS:
            continue
        sha256 = package['download_info']['archive_info']['hashes']['sha256']
        version = package['metadata']['version']
        lines.append(f'{name}=={version} --hash=sha256:{sha256}\n')
    return HEADER + ''.join(sorted(lines))


def main():
    try:
        check_python()
        check_platform()
        text = lock_text(resolve(read_pins()))
    except SetupError as error:
        sys.exit(f'mmkd: {error}')
    except subprocess.CalledProcessError:
        sys.exit('mmkd: pip found no files for constraints.txt')
    LOCK.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
