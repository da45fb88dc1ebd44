"""Distillation methods, one folder each.

Importing this package imports and thereby registers every method. A new folder
is found automatically.
"""
from importlib import import_module
from pkgutil import iter_modules

#: Names of the folders of methods.
METHODS = tuple(sorted(info.name for info in iter_modules(__path__)))

for _name in METHODS:
    import_module(f'{__name__}.{_name}')
