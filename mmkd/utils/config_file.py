"""Writing configs as text that mmengine reads back unchanged.

mmengine writes the keys of dicts without quotes and infinity as an undefined
name. When it reads a file, it replaces ``{{ fileDirname }}``, ``{{$HOME:}}``
and the like even inside strings.
"""
import keyword
import math
import os
import os.path as osp
import re
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np
from mmengine.config import Config

from mmkd.errors import ConfigError
from mmkd.utils.files import write_bytes

_WIDTH = 79
_BRACKETS = {list: '[]', tuple: '()', set: '{}'}
_CONTAINERS = (dict, list, tuple, set)


def write_config(path: str, cfg: Config) -> None:
    """Write a config to a file that reads as the same config.

    Args:
        path (str): The file, written atomically.
        cfg (Config): The config.

    Raises:
        ConfigError: If it has values that a config file cannot contain.
        OSError: If the file cannot be written.
    """
    write_bytes(path, config_text(cfg.to_dict()).encode())


def config_text(content: Dict[str, Any]) -> str:
    """The text of a config file.

    Args:
        content (dict): Dicts, lists and plain values, to any depth; classes
            and functions are written as their names.

    Raises:
        ConfigError: If it has other values.
    """
    lines = []
    for key, value in content.items():
        if not _is_name(key) or key.startswith('__'):
            raise ConfigError(f'a config file cannot have {key!r} as the name '
                              'of a setting')
        lines.append(f'{key} = {literal(value, key, used=len(key) + 3)}\n')
    return ''.join(lines)


def literal(value: Any,
            name: str = 'the value',
            indent: int = 0,
            used: int = 0) -> str:
    """Format a value as Python text that mmengine reads as the value.

    Args:
        value (Any): Plain data.
        name (str): Name of the value in messages.
        indent (int): Indentation of the following lines. Defaults to 0.
        used (int): Columns already used in the first line. Defaults to 0.

    Raises:
        ConfigError: If it is more than plain data.
    """
    text = _flat(value, name)
    if len(text) <= _WIDTH - used or not isinstance(value, _CONTAINERS):
        return text
    start, items, end = _parts(value, name)
    if not items:
        return text
    pad = ' ' * (indent + 4)
    lines = [start]
    for lead, item, where in items:
        inner = literal(item, where, indent + 4, indent + 5 + len(lead))
        lines.append(f'{pad}{lead}{inner},')
    return '\n'.join([*lines, ' ' * indent + end.lstrip(',')])


def _flat(value: Any, name: str) -> str:
    """A value on one line."""
    if not isinstance(value, _CONTAINERS):
        return _plain(value, name)
    start, items, end = _parts(value, name)
    return start + ', '.join(lead + _flat(item, where)
                             for lead, item, where in items) + end


def _parts(value: Any,
           name: str) -> Tuple[str, List[Tuple[str, Any, str]], str]:
    """Brackets of a container, and the prefix, value and name of each
    item."""
    if isinstance(value, dict):
        items = [(key, item, f'{name}.{key}') for key, item in value.items()]
        if all(_is_name(key) for key in value):
            return 'dict(', [(f'{k}=', i, n) for k, i, n in items], ')'
        return '{', [(f'{_flat(k, n)}: ', i, n) for k, i, n in items], '}'
    if not value and isinstance(value, set):
        return 'set(', [], ')'
    kind = next(kind for kind in _BRACKETS if isinstance(value, kind))
    start, end = _BRACKETS[kind]
    end = f',{end}' if kind is tuple and len(value) == 1 else end
    values = sorted(value, key=repr) if kind is set else value
    return start, [('', item, f'{name}[{i}]')
                   for i, item in enumerate(values)], end


def _plain(value: Any, name: str) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif hasattr(value, '__qualname__') and hasattr(value, '__module__'):
        value = f'{value.__module__}.{value.__qualname__}'
    for kind in (str, bytes):
        if isinstance(value, kind):
            # mmengine would replace text in double braces.
            return kind.__repr__(value).replace('{{', '{\\x7b')
    if isinstance(value, float):
        text = float.__repr__(value)
        return text if math.isfinite(value) else f"float('{text}')"
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__repr__(value)
    if value is None or isinstance(value, (bool, complex, range, slice)):
        return repr(value)
    raise ConfigError(f'`{name}` is a {type(value).__name__}, which a config '
                      'file cannot hold; write numbers, texts, lists, dicts')


def _is_name(key: Any) -> bool:
    return isinstance(
        key, str) and key.isidentifier() and not keyword.iskeyword(key)


@contextmanager
def quoted_file_names() -> Iterator[None]:
    """Make mmengine quote the names that it substitutes for
    ``{{ fileDirname }}`` and the like."""
    original = Config._substitute_predefined_vars
    Config._substitute_predefined_vars = staticmethod(_substitute_file_names)
    try:
        yield
    finally:
        Config._substitute_predefined_vars = staticmethod(original)


def _substitute_file_names(filename: str, temp_config_name: str) -> None:
    """mmengine's function with quoting; the original inserts names
    unquoted."""
    base = osp.basename(filename)
    stem, extension = osp.splitext(base)
    names = dict(
        fileDirname=osp.dirname(filename),
        fileBasename=base,
        fileBasenameNoExtension=stem,
        fileExtname=extension)
    with open(filename, encoding='utf-8') as file:
        text = file.read()
    for key, value in names.items():
        text = re.sub(
            r'\{\{\s*' + key + r'\s*\}\}',
            lambda _, value=value: _inside_quotes(value),
            text)
    with open(temp_config_name, 'w', encoding='utf-8') as file:
        file.write(text)


def _inside_quotes(text: str) -> str:
    """Escape text for use between quotes of either kind."""
    if os.name == 'nt':
        text = text.replace('\\', '/')  # as mmengine
    return re.sub(r'[^\w /.,:@%+=~()\[\]-]',
                  lambda match: f'\\U{ord(match[0]):08x}', text)
