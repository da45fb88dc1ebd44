"""Entries of the benchmarks: networks, data and settings, as dataclasses."""
import os
import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from mmkd.errors import ConfigError

ENTRIES = Path(__file__).parent / 'entries'


@dataclass(frozen=True)
class Network:
    """A network and its training.

    Attributes:
        config (str): Config file.
        iters (int, optional): Iterations; None for a distilled student, which
            trains as long as the student alone.
        pretrained (bool): Whether it starts from the weights that
            :class:`Pretrained` describes.
        weights (str, optional): Trained weights of a teacher, which is then
            neither trained nor tested. Defaults to None.
        options (dict): Further settings, as ``--cfg-options`` takes them.
    """
    config: str
    iters: Optional[int] = None
    pretrained: bool = False
    weights: Optional[str] = None
    options: Dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """A setting to tune on the validation scenes.

    Attributes:
        key (str): The setting.
        values (tuple): Its candidates; a single one is taken untested.
    """
    key: str
    values: Tuple[Any, ...]


@dataclass(frozen=True)
class Pretrained:
    """Weights that networks start from.

    Attributes:
        entry (str): The entry whose networks have learnt them.
        module (str, optional): The part that its teacher initialises, in the
            teacher and the student. Defaults to None: its teacher is the
            whole teacher, and its student the whole student.
        prefix (str): Prefix of the part's keys in that teacher.
        root (str, optional): Folder of its data. Defaults to None: that of
            this entry.
    """
    entry: str
    module: Optional[str] = None
    prefix: str = ''
    root: Optional[str] = None


@dataclass(frozen=True)
class Entry:
    """A file of benchmarks/entries, with the paths of a data set filled in.

    Attributes:
        name (str): Name of the file.
        root (str): Folder of the scenes.
        task (str): What the networks do, in words.
        metric (str): The metric that decides.
        formats (list[str]): Formats of the scenes that the runs read.
        data (dict): Settings that make a config use these scenes.
        splits (dict[str, dict]): Settings that test on ``'val'``, ``'test'``
            or a test set of the entry's own.
        student (Network): The student, trained alone.
        student_grid (Grid): What is tuned for the student alone.
        tuning_seed (int): Seed of the tuning runs; not one that is reported.
        teacher (Network, optional): The teacher; None for a method without
            one.
        method (str, optional): The method, for entries that have one. These
            also have ``distilled`` and ``distilled_grid``.
        distilled (Network, optional): The student with the method. Without a
            teacher, such as with depth from a LiDAR, it is no distilled model.
        distilled_grid (Grid, optional): What is tuned for the method.
        family (str): Prefix of the runs that entries of a task share.
        teacher_family (str, optional): The same for the teacher, where it
            differs.
        more_teachers (dict[str, Network]): Further teachers by their name in
            the distilled model. Each may learn from those before it.
        first_stages (dict[str, Network]): Modules that train on the frozen
            teacher before, by the setting of the distilled model that names
            their checkpoint.
        pretrained (Pretrained, optional): Where pretrained weights come from.
        tuning_iters (int, optional): Iterations of the tuning runs. Defaults
            to those of the student.
        prepare (list[list[str]]): Commands of ``mmkd`` that the data need
            first.
        more_metrics (dict[str, str]): Further metrics to report, by name.
        scale (float): What turns a metric into points of 100.
        test_split (str): The split whose metrics are reported.
        real_data (str, optional): Subfolder of ``$MMKD_REAL_DATA`` that holds
            the data. Defaults to None: the data are the scenes.
        label (str, optional): Name of the method in the tables of results.
            Defaults to None: the title of the method's page.
        shared (dict): Values for the entries that derive from this one.
    """
    name: str
    root: str
    task: str
    metric: str
    formats: List[str]
    data: Dict[str, Any]
    splits: Dict[str, Dict[str, Any]]
    student: Network
    student_grid: Grid
    tuning_seed: int
    teacher: Optional[Network] = None
    method: Optional[str] = None
    distilled: Optional[Network] = None
    distilled_grid: Optional[Grid] = None
    family: str = ''
    teacher_family: Optional[str] = None
    more_teachers: Dict[str, Network] = field(default_factory=dict)
    first_stages: Dict[str, Network] = field(default_factory=dict)
    pretrained: Optional[Pretrained] = None
    tuning_iters: Optional[int] = None
    prepare: List[List[str]] = field(default_factory=list)
    more_metrics: Dict[str, str] = field(default_factory=dict)
    scale: float = 1
    test_split: str = 'test'
    real_data: Optional[str] = None
    label: Optional[str] = None
    shared: Dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, name: str, root: str) -> 'Entry':
        """Read an entry.

        Args:
            name (str): Name of a file in benchmarks/entries.
            root (str): Folder of the scenes; fills in ``{root}``.

        Raises:
            ConfigError: If the file has a field that entries do not have, or
                lacks one that they need.
        """
        from mmengine.config import Config
        content = _fill(
            Config.fromfile(ENTRIES / f'{name}.py').to_dict(), root)
        for key in ('teacher', 'student', 'distilled'):
            if content.get(key):
                content[key] = _make(Network, content[key], f'{name}: {key}')
        for key in ('student_grid', 'distilled_grid'):
            if key in content:
                (setting, values), = content[key].items()
                content[key] = Grid(setting, tuple(values))
        for parts in ('more_teachers', 'first_stages'):
            content[parts] = {
                key: _make(Network, part, f'{name}: {key}')
                for key, part in content.get(parts, {}).items()
            }
        if 'pretrained' in content:
            content['pretrained'] = _make(Pretrained, content['pretrained'],
                                          f'{name}: pretrained')
        return _make(cls, dict(content, name=name, root=root), name)

    def make_data(self, preset: Optional[str]) -> None:
        """Make the scenes, and what a method derives from them.

        Args:
            preset (str, optional): Name of a preset; None for scenes that
                exist already.
        """
        commands = list(self.prepare)
        if preset is not None and self.real_data is None:
            commands.insert(0, [
                'scenes', '--preset', preset, '--out', self.root, '--infos',
                '--formats', *self.formats
            ])
        for command in commands:
            subprocess.run([sys.executable, '-m', 'mmkd', *command],
                           check=True)

    def scaled(self, metrics: Dict[str, Any]) -> Dict[str, float]:
        """The numbers among the results of a test, in points of 100."""
        return {
            key: self.scale * value
            for key, value in metrics.items()
            if isinstance(value, (int, float))
        }


def names(key: str) -> List[str]:
    """The entries that have a field, such as ``'method'``."""
    from mmengine.config import Config
    return sorted(
        path.stem for path in ENTRIES.glob('*.py')
        if key in Config.fromfile(path))


def root_of(name: str, preset: str) -> str:
    """The folder of an entry's data.

    Args:
        name (str): Name of the entry.
        preset (str): Preset of the scenes, for an entry that reads them.

    Raises:
        ConfigError: If it needs real data, and nothing says where they lie.
    """
    from mmengine.config import Config
    folder = Config.fromfile(ENTRIES / f'{name}.py').get('real_data')
    if folder is None:
        return f'data/scenes/{preset}'
    base = os.environ.get('MMKD_REAL_DATA', '')
    if not os.path.isdir(os.path.join(base, folder)):
        raise ConfigError(
            f'the benchmark {name!r} needs real data: set MMKD_REAL_DATA to a '
            f'folder that holds {folder}/, as data/README.md describes it')
    return os.path.join(os.path.abspath(base), folder)


def require_method(name: str) -> None:
    """Check that a method has an entry.

    Raises:
        ConfigError: If it has none; the message lists those that exist.
    """
    from mmengine.config import Config
    path = ENTRIES / f'{name}.py'
    if not path.is_file() or 'method' not in Config.fromfile(path):
        found = names('method')
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


def _make(kind: type, content: Dict[str, Any], what: str) -> Any:
    """Make a dataclass; a TypeError becomes a message for the user."""
    known = {item.name for item in fields(kind)}
    unknown = sorted(set(content) - known)
    if unknown:
        raise ConfigError(f'{what} has no field {unknown[0]!r}')
    try:
        return kind(**content)
    except TypeError as error:
        raise ConfigError(f'{what}: {error}') from None


def _fill(value: Any, root: str) -> Any:
    """The same settings with ``{root}`` replaced."""
    if isinstance(value, dict):
        return {key: _fill(part, root) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fill(part, root) for part in value]
    return value.replace('{root}', root) if isinstance(value, str) else value
