"""Entries of the benchmarks: networks, data and settings."""
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

ENTRIES = Path(__file__).parent / 'entries'


class Entry:
    """One entry, with the paths of a data set filled in.

    Args:
        name (str): Name of a file in benchmarks/entries.
        root (str): Folder of the scenes.

    Attributes:
        config (Config): The file.
        data (dict): Settings that make a config use these scenes.
        splits (dict[str, dict]): Settings that test on ``'val'`` or
            ``'test'``.
        prepare (list[list[str]]): Commands that the data need first.
    """

    def __init__(self, name: str, root: str) -> None:
        from mmengine.config import Config
        self.root = root
        self.config = Config.fromfile(ENTRIES / f'{name}.py')
        self.data = _fill(self.config.data, root)
        self.splits = _fill(self.config.splits, root)
        self.prepare = _fill(self.config.get('prepare', []), root)

    def make_data(self, preset: Optional[str]) -> None:
        """Make the scenes, unless they are there already, and what a method
        makes of them first, such as object-complete frames.

        Args:
            preset (str, optional): Name of a preset; None for scenes that
                are there.
        """
        commands = list(self.prepare)
        if preset is not None:
            commands.insert(0, [
                'tools/make_scenes.py', '--preset', preset, '--out', self.root,
                '--infos', '--formats', *self.config.formats
            ])
        for command in commands:
            subprocess.run([sys.executable, *command], check=True)

    def metrics(self, found: Dict[str, float]) -> Dict[str, float]:
        """Results in the unit of the tables: points of 100."""
        scale = self.config.get('scale', 1)
        return {
            key: scale * value
            for key, value in found.items() if isinstance(value, (int, float))
        }


def names(key: str) -> List[str]:
    """The entries that have a key, such as ``'method'``."""
    from mmengine.config import Config
    return sorted(
        path.stem for path in ENTRIES.glob('*.py')
        if key in Config.fromfile(path))


def require_method(name: str) -> None:
    """Refuse a name that no method's entry has.

    Raises:
        ConfigError: If there is no such entry; it lists those there are.
    """
    from mmkd.errors import ConfigError
    found = names('method')
    if name not in found:
        raise ConfigError(f'there is no benchmark of {name!r}; there '
                          f'is {", ".join(found)}')


def of_student(options: Dict[str, Any]) -> Dict[str, Any]:
    """Settings of a student alone, for the one inside a distilled model."""
    settings = {}
    for key, value in options.items():
        if key.startswith('model.'):
            key = key.replace('model.', 'model.student.', 1)
        settings[key] = value
    return settings


def _fill(value: Any, root: str) -> Any:
    """The same settings with ``{root}`` replaced."""
    if isinstance(value, dict):
        return {key: _fill(part, root) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fill(part, root) for part in value]
    return value.replace('{root}', root) if isinstance(value, str) else value
