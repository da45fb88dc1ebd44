"""Each method is one folder, with its test, page and recipe."""
import re
from pathlib import Path

import pytest

from mmkd.methods import METHODS
from mmkd.registry import DISTILLERS
from mmkd.testing.methods import METHOD_EXAMPLES, examples_of, recipe_of

ROOT = Path(__file__).parents[2]


def distillers_of(method):
    return {
        name
        for name, cls in DISTILLERS.module_dict.items()
        if cls.__module__.startswith(f'mmkd.methods.{method}.')
    }


@pytest.mark.parametrize('method', METHODS)
def test_a_method_is_complete(method):
    folder = ROOT / 'mmkd/methods' / method
    for file in ('__init__.py', 'examples.py'):
        assert (folder / file).is_file(), file
    tests = ROOT / 'tests/unit/methods' / method
    assert list(tests.glob('test_*.py'))
    # A method may be a teacher for the distillers of others.
    if distillers_of(method):
        assert (folder / 'distiller.py').is_file()
        assert (tests / 'test_distiller.py').is_file()
    if (folder / 'losses.py').is_file():
        assert (tests / 'test_losses.py').is_file() or any(
            f'mmkd.methods.{method}.losses' in test.read_text()
            for test in tests.glob('test_*.py'))
    assert (ROOT / f'docs/methods/{method}.md').is_file()
    recipe = recipe_of(method)
    assert recipe.startswith(f'{method}/{method.replace("_", "-")}')
    assert (ROOT / 'configs' / recipe).is_file()
    assert (ROOT / 'configs' / method / 'README.md').is_file()
    # On the embedded data: a recipe and a benchmark.
    assert list((ROOT / 'configs/demo').glob(f'{method}*.py'))
    assert list((ROOT / 'benchmarks/entries').glob(f'{method}*.py'))


@pytest.mark.parametrize('method', METHODS)
def test_examples_show_every_distiller_of_a_method(method):
    examples = examples_of(method)
    assert all(re.fullmatch(f'{method}(_.+)?', name) for name in examples)
    shown = {
        cfg['type']
        for make in examples.values()
        for cfg in make().model['distillers'].values()
    }
    own = distillers_of(method)
    assert shown == own if own else shown


def test_no_example_hides_another():
    assert len(METHOD_EXAMPLES) == sum(map(len, map(examples_of, METHODS)))


def test_the_readme_lists_every_method():
    links = re.findall(r'\]\(docs/methods/(\w+)\.md\)',
                       (ROOT / 'README.md').read_text())
    assert sorted(links) == list(METHODS)


def test_a_folder_registers_its_method():
    folders = {
        cls.__module__.split('.')[2]
        for cls in map(DISTILLERS.get, list(DISTILLERS.module_dict))
        if cls.__module__.startswith('mmkd.methods.')
    }
    assert folders == {
        method
        for method in METHODS
        if (ROOT / 'mmkd/methods' / method / 'distiller.py').is_file()
    }
