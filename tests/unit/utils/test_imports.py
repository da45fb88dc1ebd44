"""Modules of the user."""
import sys
from importlib import metadata

import pytest
from mmengine.config import Config

from mmkd.errors import ConfigError
from mmkd.utils.config import read_config
from mmkd.utils.imports import import_method, version_only


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    modules = set(sys.modules)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f'{name}.py').write_text(text)


def test_a_config_imports_what_lies_beside_it(tmp_path):
    write(
        tmp_path / 'a',
        run="model = dict()\ncustom_imports = dict(imports=['beside_a'])",
        beside_a='value = 3')
    assert read_config(str(tmp_path / 'a/run.py')).model == {}
    assert sys.modules['beside_a'].value == 3
    assert sys.path[-1] == str(tmp_path / 'a')  # for workers


def test_a_module_beside_a_config_hides_no_other(tmp_path):
    write(
        tmp_path,
        run="model = dict()\ncustom_imports = dict(imports=['colorsys'])",
        colorsys='raise AssertionError')
    sys.modules.pop('colorsys', None)
    read_config(str(tmp_path / 'run.py'))
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize('imports, message', [
    ("['none_of_it']", "No module named 'none_of_it'.*beside the config"),
    ("['broken_one']", 'ZeroDivisionError'),
    ("['needs_more']", "No module named 'more_is_gone'"),
    ("'none_of_it'", 'none_of_it'),
    ('3', 'a list of modules, but got 3'),
])
def test_an_import_that_fails(tmp_path, imports, message):
    write(
        tmp_path,
        run=f'model = dict()\ncustom_imports = dict(imports={imports})',
        broken_one='1 / 0',
        needs_more='import more_is_gone')
    with pytest.raises(ConfigError, match=message) as error:
        read_config(str(tmp_path / 'run.py'))
    assert '\n' not in str(error.value)


def test_a_failed_import_may_be_allowed(tmp_path):
    (tmp_path / 'run.py').write_text(
        'model = dict()\ncustom_imports = dict(\n'
        "    imports=['none_of_it'], allow_failed_imports=True)")
    with pytest.warns(UserWarning, match='none_of_it failed to import'):
        assert isinstance(read_config(str(tmp_path / 'run.py')), Config)


def test_files_are_copied_and_find_each_other(tmp_path):
    write(tmp_path / 'mine', part_one='value = 1', part_two='import part_one')
    work = tmp_path / 'work'
    for name in ('part_one', 'part_two', 'part_two'):
        assert import_method(str(tmp_path / f'mine/{name}.py'),
                             str(work)) == name
    assert sorted(
        p.name for p in work.glob('*.py')) == ['part_one.py', 'part_two.py']
    assert sys.modules['part_one'].__file__ == str(work / 'part_one.py')
    # A file of the work folder stays where it is.
    assert import_method(str(work / 'part_one.py'), str(work)) == 'part_one'


def test_an_edited_copy_is_kept(tmp_path):
    write(tmp_path / 'mine', my_part='value = 1')
    work = tmp_path / 'work'
    write(work, my_part='value = 2  # edited')
    for _ in range(2):
        import_method(str(tmp_path / 'mine/my_part.py'), str(work))
    copy, kept = sorted(work.iterdir(), key=lambda path: len(path.name))
    assert copy.read_text() == 'value = 1'
    assert kept.read_text() == 'value = 2  # edited'


@pytest.mark.parametrize('source, message', [
    ('gone_file.py', 'there is no such file'),
    ('my-method.py', 'not that of a module; rename it'),
    ('a_folder/', 'there is no such file'),
    ('notes/text.txt', 'not that of a module'),
    ('colorsys.py', 'Python finds another module colorsys first.*rename'),
    ('needs_part.py', "No module named 'its_part'.*copied alone"),
    ('wrong.py', 'SyntaxError'),
    ('no_such_module', "No module named 'no_such_module'; give its file"),
    ('no_such.module', 'put its folder on PYTHONPATH'),
])
def test_what_cannot_be_imported(tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        colorsys='',
        needs_part='import its_part',
        wrong='def f(:',
        **{'my-method': ''})
    (tmp_path / 'notes').mkdir()
    (tmp_path / 'notes/text.txt').write_text('')
    with pytest.raises(ConfigError, match=message) as error:
        import_method(source, str(tmp_path / 'work'))
    assert source in str(error.value) and '\n' not in str(error.value)


def test_version_only(monkeypatch):
    monkeypatch.delitem(sys.modules, 'packaging')
    with version_only('packaging'):
        import packaging
        assert packaging.__version__ == metadata.version('packaging')
        assert not hasattr(packaging, '__path__')
    assert 'packaging' not in sys.modules
    with version_only('pytest'), version_only('no_such_package'):
        assert sys.modules['pytest'] is pytest
