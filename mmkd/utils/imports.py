"""Importing a user's modules: ``custom_imports`` of a config."""
import contextlib
import importlib
import os
import os.path as osp
import shutil
import sys
from importlib import metadata
from importlib.util import find_spec
from types import ModuleType
from typing import Iterator, List, Optional

from mmengine.utils import import_modules_from_strings

from mmkd.errors import ConfigError
from mmkd.utils.files import keep_edited


def imported_modules(custom_imports: Optional[dict]) -> List[str]:
    """Names of the modules in ``custom_imports`` of a config.

    Raises:
        ConfigError: If they are neither a name nor a list of names.
    """
    names = (custom_imports or {}).get('imports') or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(
            isinstance(name, str) for name in names):
        raise ConfigError('the imports of custom_imports are a list of '
                          f'modules, but got {names!r}')
    return list(names)


def optional_package(name: str, what: str) -> ModuleType:
    """Import a package that mmkd does not require.

    Args:
        name (str): The package.
        what (str): What needs it.

    Raises:
        ConfigError: If it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ConfigError(f'{what} needs {name}; install it with: pip install '
                          f'{name}') from None


def import_custom(custom_imports: Optional[dict], folder: str) -> None:
    """Import the modules that a config names, also from its own folder.

    Modules on ``sys.path`` take precedence. Otherwise the folder is appended
    to it and stays there, since workers of data loaders import them as well.

    Args:
        custom_imports (dict, optional): As in mmengine: ``imports`` and
            ``allow_failed_imports``.
        folder (str): The folder of the config.

    Raises:
        ConfigError: If a module cannot be imported.
    """
    if not custom_imports:
        return
    names = imported_modules(custom_imports)
    for name in names:
        _find_in(folder, name.split('.')[0])
    try:
        import_modules_from_strings(**custom_imports)
    except Exception as error:
        cause = error.__context__ or error
        raise ConfigError(
            f'cannot import custom_imports {names}: {_one_line(cause)}; they '
            'lie beside the config or on PYTHONPATH') from error


def import_method(source: str, folder: str) -> str:
    """Import a user's method for a config that will be written to a folder.

    A file is copied there, so that the folder is complete.

    Args:
        source (str): A Python file, or the dotted name of a module.
        folder (str): The folder of the config.

    Returns:
        str: Name of the module for ``custom_imports``.

    Raises:
        ConfigError: If the module cannot be found, imported or named.
    """
    if source.endswith('.py') or osp.sep in source:
        name = _copy(source, folder)
        _find_in(folder, name)
        hint = ('a file is copied alone; give those that it needs first, each '
                'with its own --import, or the dotted name of a module on '
                'PYTHONPATH')
    else:
        name, hint = source, ('give its file, as my_method.py, or put its '
                              'folder on PYTHONPATH')
    try:
        importlib.import_module(name)
    except Exception as error:
        raise ConfigError(f'cannot import {source}: {_one_line(error)}; '
                          f'{hint}') from error
    return name


def _copy(source: str, folder: str) -> str:
    """Copy a file into a folder; returns the name of its module."""
    name, kind = osp.splitext(osp.basename(source))
    if not osp.isfile(source):
        raise ConfigError(f'cannot import {source}: there is no such file')
    if kind != '.py' or not name.isidentifier():
        raise ConfigError(f'cannot import {source}: its name is not that of a '
                          'module; rename it, as my_method.py')
    copy = osp.join(osp.abspath(folder), f'{name}.py')
    found = find_spec(name)
    taken = found and found.origin
    if taken and osp.realpath(taken) not in map(osp.realpath, (source, copy)):
        raise ConfigError(f'cannot import {source}: Python finds another '
                          f'module {name} first, {taken}; rename the file')
    if osp.realpath(source) != osp.realpath(copy):
        os.makedirs(folder, exist_ok=True)
        with open(source, 'rb') as file:
            keep_edited(copy, file.read())
        part = f'{copy}.{os.getpid()}'  # every process of a launcher does so
        shutil.copyfile(source, part)
        os.replace(part, copy)
    return name


def _find_in(folder: str, name: str) -> None:
    """Make a module in a folder importable, unless it exists elsewhere."""
    importlib.invalidate_caches()
    found = find_spec(name)
    # A folder without ``__init__.py`` hides no module.
    if found is None or found.origin is None:
        folder = osp.abspath(folder)
        if folder not in sys.path and any(
                osp.exists(osp.join(folder, f'{name}{end}'))
                for end in ('', '.py')):
            sys.path.append(folder)


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or ['']
    return f'{type(error).__name__}: {lines[0]}'


@contextlib.contextmanager
def version_only(package: str) -> Iterator[None]:
    """Context in which an import of a package gives its version alone.

    Args:
        package (str): Name of an installed package; nothing is done if it is
            imported already, or is not installed.
    """
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        version = None
    if version is None or package in sys.modules:
        yield
        return
    stand_in = ModuleType(package)
    stand_in.__version__ = version
    sys.modules[package] = stand_in
    try:
        yield
    finally:
        del sys.modules[package]
