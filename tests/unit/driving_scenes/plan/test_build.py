"""Parts of a scene draw their random numbers apart."""
import functools
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

from driving_scenes import kitti, nuscenes, plan
from driving_scenes.assets import buildings, people, plants, street, vehicles
from driving_scenes.plan import build_world, draw_plan, make_city
from driving_scenes.plan.build import PARTS

SEED = (7, 0, 5)
MODULES = [
    importlib.import_module(f'{plan.__name__}.{found.name}')
    for found in pkgutil.iter_modules(plan.__path__)
]


def build(shown='construction', **parts):
    found = draw_plan(
        make_city('alderford', 0), SEED, shown, 'clear', duration=4.)
    return build_world(found, SEED, 'test', **parts)


def same(one, other):
    """Whether two worlds are the same, bit for bit."""
    if len(one.objects) != len(other.objects) or any(
            not np.array_equal(
                getattr(one.static, name), getattr(other.static, name))
            for name in ('vertices', 'faces', 'label', 'color', 'uv')):
        return False
    pairs = [(one.ego, other.ego)]
    for a, b in zip(one.objects, other.objects):
        if a.category != b.category or not np.array_equal(
                a.mesh_at(1.).vertices,
                b.mesh_at(1.).vertices):
            return False
        pairs.append((a.motion, b.motion))
    return np.array_equal(one.lamps, other.lamps) and all(
        np.array_equal(a.xyz, b.xyz) and np.array_equal(a.yaw, b.yaw)
        for a, b in pairs)


def draws_more(function):
    """The same function, which draws more numbers when it is done."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        made = function(*args, **kwargs)
        given = inspect.signature(function).bind(*args, **kwargs).arguments
        given['rng'].random(3)
        wrapped.count += 1
        return made

    wrapped.count = 0
    return wrapped


def test_a_draw_that_is_added_moves_nothing_else(monkeypatch):
    before = {
        'camera': build(),
        'kitti': build('rider', feature=kitti.add_features),
        'nuscenes': build(feature=nuscenes.add_features)
    }
    assert not same(before['camera'], before['kitti'])
    wrapped = {}
    for module in (*MODULES, buildings, people, plants, street, vehicles,
                   kitti, nuscenes):
        for name, found in list(vars(module).items()):
            own = getattr(found, '__module__', '').startswith('driving_scenes')
            inside = module.__name__.startswith('driving_scenes.assets')
            if not inspect.isfunction(found) or not own or \
                    'rng' not in inspect.signature(found).parameters or \
                    found.__name__ == 'child' or \
                    inside and name.startswith('_'):
                continue
            if found not in wrapped:
                wrapped[found] = draws_more(found)
            monkeypatch.setattr(module, name, wrapped[found])
    monkeypatch.setattr(f'{plan.__name__}.build.PARTS', {
        k: wrapped[v]
        for k, v in PARTS.items()
    })
    after = {
        'camera': build(),
        'kitti': build('rider', feature=kitti.add_features),
        'nuscenes': build(feature=nuscenes.add_features)
    }
    assert sum(x.count > 0 for x in wrapped.values()) > 40
    for name in before:
        assert same(before[name], after[name]), name


def test_a_scene_is_made_of_its_numbers_alone():
    city = make_city('alderford', 0)
    one, two, again = (
        draw_plan(city, (0, 0, number), 'bus', 'rain') for number in (0, 1, 0))
    assert one.street.crossings != two.street.crossings
    assert one.street.sides != two.street.sides
    assert one.street.crossings == again.street.crossings
    assert one.street.sides == again.street.sides
    with pytest.raises(AttributeError):
        one.street.lanes = 3
