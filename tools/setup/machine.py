# Copyright (c) mmkd contributors. All rights reserved.
"""Requirements of the set-up: Python, a compiler, optionally CUDA."""
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from commands import SetupError, say

PYTHON_VERSION = (3, 11)
PLATFORM = 'Linux x86_64'
DEBIAN = 'Debian, Ubuntu: apt-get install'
# Version of CUDA in torch, whether there is a GPU, version of nvcc.
CUDA = """
import subprocess, torch
from torch.utils.cpp_extension import CUDA_HOME as home
text = subprocess.run([home + '/bin/nvcc', '--version'], text=True,
                      capture_output=True).stdout if home else ''
print(torch.version.cuda, torch.cuda.is_available(),
      text.partition('release ')[2].partition(',')[0] or 0)
"""


def check_python(version=sys.version_info):
    """Stop unless this interpreter has the pinned version."""
    want, have = ('.'.join(map(str, x[:2])) for x in (PYTHON_VERSION, version))
    if want != have:
        raise SetupError(
            f'Python {want} is needed, this is {have}; install python{want} '
            f'or name one: make env PYTHON=/path/to/python{want}')


def check_platform(system=None, machine=None):
    """Stop unless lock.txt has packages for this machine."""
    have = f'{system or platform.system()} {machine or platform.machine()}'
    if have != PLATFORM:
        raise SetupError(f'lock.txt lists packages for {PLATFORM}, this is '
                         f'{have}; README.md says what to install by hand')


def compiler():
    """The C++ compiler for mmcv, as a list."""
    command = (os.environ.get('CXX') or sysconfig.get_config_var('CXX')
               or 'g++').split()
    if shutil.which(command[0]) is None and 'CXX' not in os.environ:
        command = ['g++']
    return command


def check_compiler():
    """Stop unless a C++20 file that includes Python.h compiles."""
    command = compiler()
    if shutil.which(command[0]) is None:
        raise SetupError(f'no C++ compiler ({command[0]}) found, and mmcv '
                         f'must be compiled; install one ({DEBIAN} g++)')
    include = sysconfig.get_paths()['include']
    if not (Path(include) / 'Python.h').exists():
        raise SetupError(
            'the header files of this Python (Python.h) are missing; install '
            f'them ({DEBIAN} python3.{PYTHON_VERSION[1]}-dev)')
    code = ('#include <Python.h>\n#include <concepts>\n'
            'static_assert(std::integral<int>);\n')
    done = subprocess.run([
        *command, '-std=c++20', f'-I{include}', '-fsyntax-only', '-xc++', '-'
    ],
                          input=code,
                          capture_output=True,
                          text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ['']
        error = next((line for line in lines if 'error' in line), lines[0])
        raise SetupError(f'{command[0]} does not compile C++20 ({error}); '
                         f'install g++ 11 or newer ({DEBIAN} g++)')


def mmcv_kind(python, environ):
    """Whether to build mmcv only for the CPU, or with CUDA kernels.

    CUDA kernels need a GPU and a CUDA compiler of torch's major version;
    MMKD_MMCV=cpu or =cuda overrides that.

    Args:
        python (Path): An interpreter that has torch.
        environ (dict): Its environment variables.
    """
    choice = os.environ.get('MMKD_MMCV', '')
    if choice not in ('', 'cpu', 'cuda'):
        raise SetupError(f'MMKD_MMCV is {choice!r}; say cpu or cuda')
    devices = ('/dev/nvidiactl', '/dev/dxg')
    if choice == 'cpu' or not (choice or any(map(os.path.exists, devices))):
        return 'cpu'
    answer = subprocess.run([python, '-W', 'ignore', '-c', CUDA],
                            stdout=subprocess.PIPE,
                            text=True,
                            env=environ).stdout.split()
    cuda, gpu, nvcc = answer or ('None', 'False', '0')
    if choice == 'cuda' and cuda == 'None':
        raise SetupError('MMKD_MMCV=cuda, but this torch has no CUDA')
    fits = gpu == 'True' and cuda.split('.')[0] == nvcc.split('.')[0]
    if gpu == 'True' and not fits and not choice:
        say(f'a GPU, but no CUDA compiler (nvcc) of version {cuda}: '
            'the operators of mmcv are built only for the CPU')
    return 'cu' + cuda.replace('.', '') if choice or fits else 'cpu'
