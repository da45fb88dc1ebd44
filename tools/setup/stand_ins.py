# Copyright (c) mmkd contributors. All rights reserved.
"""Stand-ins for packages and libraries that the environment does not need.

Distributions: a dependency requires a distribution that is not needed.
Libraries: open3d links to libraries for windows and depth cameras, without
which it cannot be imported; machines without a screen often lack them.
"""
import ctypes
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from commands import SetupError

#: The distribution that provides the modules instead, or None.
DISTRIBUTIONS = {
    # Both opencv packages write the same folder; only the headless one
    # imports on a machine without libGL.
    'opencv-python': 'opencv-python-headless',
    # A backport for Python < 3.5, required by cityscapesScripts.
    'typing': None,
}
#: Libraries that open3d loads, and the prefix of the symbols that it uses.
LIBRARIES = {
    'libX11.so.6': 'X',
    'libGL.so.1': 'gl',
    'libudev.so.1': 'udev_',
}


def write_distribution(folder, name, version, other, other_version):
    """Write a wheel without modules that satisfies a requirement.

    Args:
        folder (Path): Where to write it.
        name (str): The distribution that it stands in for.
        version (str): Version of that distribution.
        other (str, optional): The distribution that has the modules.
        other_version (str, optional): Version of that one.

    Returns:
        Path: The wheel.
    """
    base = f'{name.replace("-", "_")}-{version}+mmkd'
    info = f'{base}.dist-info'
    metadata = (f'Metadata-Version: 2.1\nName: {name}\n'
                f'Version: {version}+mmkd\n')
    if other:
        metadata += f'Requires-Dist: {other}=={other_version}\n'
    files = {
        f'{info}/METADATA':
        metadata,
        f'{info}/WHEEL':
        'Wheel-Version: 1.0\nGenerator: mmkd\nRoot-Is-Purelib: true\n'
        'Tag: py3-none-any\n'
    }
    files[f'{info}/RECORD'] = ''.join(f'{path},,\n'
                                      for path in [*files, f'{info}/RECORD'])
    path = folder / f'{base}-py3-none-any.whl'
    with zipfile.ZipFile(path, 'w') as wheel:
        for where, text in files.items():
            wheel.writestr(where, text)
    return path


def fill_libraries(env):
    """Give open3d placeholders for the libraries that the system lacks.

    Their functions return null ("no display", "no device"), which is true on
    such a machine. open3d finds them by its own search path.

    Args:
        env (Path): The environment.

    Returns:
        list[str]: The missing libraries.
    """
    modules = sorted(env.glob('lib/*/site-packages/open3d/cpu/pybind*.so'))
    missing = [name for name in LIBRARIES if not _loads(name)]
    if missing and modules:
        names = subprocess.run(['nm', '-D', '--undefined-only', modules[0]],
                               capture_output=True,
                               text=True).stdout
        for name in missing:
            write_library(
                modules[0].parents[1] / name,
                re.findall(rf' U ({LIBRARIES[name]}\w+)(@\w+)?', names))
    return missing if modules else []


def _loads(name):
    """Whether the system has a shared library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def write_library(path, symbols):
    """Compile a shared library whose functions return null.

    Args:
        path (Path): The library; its name is its soname.
        symbols (list[tuple[str, str]]): Names of its functions, each with
            ``@VERSION`` or an empty string.

    Raises:
        SetupError: If the compiler is missing or fails.
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
