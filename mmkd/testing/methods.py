"""The examples of all methods, from the ``examples.py`` of their folders."""
from importlib import import_module
from typing import Callable, Dict

from mmkd.methods import METHODS
from mmkd.testing.examples import MethodExample


def examples_of(method: str) -> Dict[str, Callable[[], MethodExample]]:
    """Factories of a method's examples, one per kind of network."""
    return import_module(f'mmkd.methods.{method}.examples').EXAMPLES


def recipe_of(method: str) -> str:
    """The recipe of its paper that stands for a method, in ``configs/``."""
    return import_module(f'mmkd.methods.{method}.examples').RECIPE


#: The examples of all methods. Each name starts with the method's name.
METHOD_EXAMPLES: Dict[str, Callable[[], MethodExample]] = {
    name: make
    for method in METHODS
    for name, make in examples_of(method).items()
}
