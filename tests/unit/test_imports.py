"""Who may import whom, read from the source."""
import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def imports(path):
    """Absolute names of the modules that a file imports, lazy ones too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parent.parts
            base = package[:len(package) + 1 - node.level] if node.level \
                else ()
            found.add('.'.join([*base, *filter(None, [node.module])]))
    return found


def importers(package, of, allowed=()):
    """Files of a package that import another, but for allowed parts."""
    files = [
        path for path in sorted((ROOT / package).rglob('*.py'))
        if path.relative_to(ROOT / package).parts[0] not in allowed
    ]
    assert len(files) > 10
    return [
        str(path.relative_to(ROOT)) for path in files if any(
            name.split('.')[0] == of for name in imports(path))
    ]


def test_driving_scenes_know_nothing_of_mmkd():
    assert importers('driving_scenes', 'mmkd') == []


def test_mmkd_knows_nothing_of_driving_scenes():
    assert importers('mmkd', 'driving_scenes',
                     ('apis.py', 'cli.py', 'cli', 'testing')) == []


#: Rooms of mmkd, the ground first; a room imports those below it.
FLOORS = ('utils', 'ops', 'families', 'core', 'bev', 'data', 'visualization',
          'methods', 'evaluation', 'engine', 'apis', 'report', 'cli')


@pytest.mark.parametrize('room', [*FLOORS[:-3], 'report'])
def test_no_import_runs_up(room):
    above = FLOORS[FLOORS.index(room) + 1:]
    up = [(str(path.relative_to(ROOT)), name)
          for path in sorted((ROOT / 'mmkd' / room).rglob('*.py'))
          for name in imports(path) if name.split('.')[:1] == ['mmkd']
          and name.split('.')[1:2] and name.split('.')[1] in above]
    assert up == []


def test_no_method_imports_another():
    folder = ROOT / 'mmkd/methods'
    across = []
    for path in sorted(folder.rglob('*/**/*.py')):
        own = path.relative_to(folder).parts[0]
        across += [
            (str(path.relative_to(ROOT)), name) for name in imports(path)
            if name.startswith('mmkd.methods.') and name.split('.')[2] != own
        ]
    assert across == []


def test_only_examples_of_methods_import_what_tests_use():
    assert [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / 'mmkd').rglob('*.py'))
        if path.relative_to(ROOT / 'mmkd').parts[0] != 'testing'
        and path.name != 'examples.py' and any(
            name.split('.')[:2] == ['mmkd', 'testing']
            for name in imports(path))
    ] == []


@pytest.mark.parametrize('line, name', [
    ('import driving_scenes.world', 'driving_scenes.world'),
    ('def f():\n    from ..mmkd import x', 'mmkd'),
    ('from . import x', 'driving_scenes'),
    ('from .a.b import x', 'driving_scenes.a.b'),
])
def test_imports_are_found(line, name, tmp_path, monkeypatch):
    monkeypatch.setattr(f'{__name__}.ROOT', tmp_path)
    path = tmp_path / 'driving_scenes' / 'part.py'
    path.parent.mkdir()
    path.write_text(line)
    assert imports(path) == {name}
