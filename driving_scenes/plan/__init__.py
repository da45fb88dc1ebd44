"""Planning and building a section of a street network with its traffic."""
from .build import build_world
from .city import CityStyle, make_city
from .street import CONDITIONS, FEATURES, Plan, draw_plan

__all__ = [
    'CONDITIONS', 'CityStyle', 'FEATURES', 'Plan', 'build_world', 'draw_plan',
    'make_city'
]
