"""Each method is one folder, with its test, page and recipe."""
from pathlib import Path

import pytest

from mmkd.methods import METHODS
from mmkd.registry import DISTILLERS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize('method', METHODS)
def test_a_method_is_complete(method):
    folder = ROOT / 'mmkd/methods' / method
    for file in ('__init__.py', 'distiller.py'):
        assert (folder / file).is_file(), file
    tests = ROOT / 'tests/unit/methods' / method
    assert (tests / 'test_distiller.py').is_file()
    if (folder / 'losses.py').is_file():
        assert (tests / 'test_losses.py').is_file() or any(
            f'mmkd.methods.{method}.losses' in test.read_text()
            for test in tests.glob('test_*.py'))
    assert (ROOT / f'docs/methods/{method}.md').is_file()
    assert list((ROOT / 'configs' / method).glob('*.py'))


def test_a_folder_registers_its_method():
    folders = {
        cls.__module__.split('.')[2]
        for cls in map(DISTILLERS.get, list(DISTILLERS.module_dict))
        if cls.__module__.startswith('mmkd.methods.')
    }
    assert folders == set(METHODS)
