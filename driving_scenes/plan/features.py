"""Guaranteed features of scenes, placed before all other traffic."""
import numpy as np

from ..assets import street, vehicles
from ..seeds import child
from .fleet import make_vehicle, ride
from .site import Site
from .street import CURB, TRACK, Side


def add_feature(site: Site, rng: np.random.Generator) -> None:
    """Add the feature of the plan within sight of the ego vehicle."""
    show(site, site.plan.feature, child(rng))


def show(site: Site, feature: str, rng: np.random.Generator) -> bool:
    """Add an example of a feature within sight of the ego vehicle.

    Args:
        site (Site): Gets it.
        feature (str): One of :data:`.street.FEATURES`; walls and fences
            belong to the surroundings.
        rng (np.random.Generator): Source of its place and looks.

    Returns:
        bool: Whether there was space for it.
    """
    if feature in ('wall', 'fence'):
        return False
    return any(
        _try(site, feature, rng.uniform(10, 24 + attempt * .5), child(rng))
        for attempt in range(60))


def _try(site: Site, feature: str, ahead: float,
         rng: np.random.Generator) -> bool:
    plan, times = site.plan, site.plan.times
    road = plan.street
    mid = np.interp(plan.duration * rng.uniform(.2, .6), times, plan.ego.s)
    at = mid + ahead
    if feature == 'construction':
        return _add_roadworks(site, at, child(rng))
    direction = -1 if rng.random() < .5 else 1
    speed = plan.ego.speed * rng.uniform(.5, 1.) * direction
    # In mid-scene it reaches its position ahead of the ego vehicle.
    s = at + speed * (times - plan.duration * .4)
    k = int(rng.integers(road.lanes))
    if feature in ('motorcycle', 'rider'):
        motor = feature == 'motorcycle'
        d = road.lane(k, direction) + rng.uniform(-.8, .8) if motor else \
            road.lane(road.lanes - 1, direction) - \
            direction * rng.uniform(.9, 1.2)
        return ride(site, motor, s, np.full_like(times, d), child(rng))
    category, made = make_vehicle(feature, child(rng))
    right = road.sides[1]
    if feature != 'train' and right.parking and rng.random() < .45:
        return site.park(
            category,
            made,
            at,
            -(right.half - 1.3),
            0.,
            attribute='vehicle.stopped')
    d = -direction * TRACK if feature == 'train' else road.lane(k, direction)
    return site.drive(category, made[1], s, np.full_like(times, d), made[0])


def _add_roadworks(site: Site, s: float, rng: np.random.Generator) -> bool:
    """Barriers, cones and an excavator in the parking bays or beside."""
    side = site.plan.street.sides[int(rng.integers(2))]
    d = side.sign * (side.half - (1.1 if side.parking else -1.6))
    z = 0. if side.parking else CURB
    if not site.park('vehicle.construction', vehicles.construction(child(rng)),
                     s, d, rng.choice([0., np.pi]), z, 'vehicle.stopped'):
        return False
    for ds in (-6., 6.):
        site.park('movable_object.barrier',
                  (street.barrier(child(rng)), (.5, 2., 1.)), s + ds, d, 0., z,
                  '')
    for k in range(6):
        add_cone(site, s - 7 + 2.8 * k, d - side.sign * 1.6, 0.)
    return True


def add_cone(site: Site, s: float, d: float, yaw: float) -> None:
    """Add a traffic cone on the road."""
    site.park('movable_object.trafficcone', (street.cone(), (.4, .4, .72)), s,
              d, yaw, 0., '')


def add_works(site: Site, rng: np.random.Generator) -> None:
    """Add roadworks, rows of barriers and cones as nuScenes shows them."""
    _add_machine(site, child(rng))
    for _ in range(int(rng.integers(1, 3))):
        _add_barriers(site, child(rng))
    _add_cones(site, child(rng))


def _random_side(site: Site, rng: np.random.Generator) -> Side:
    return site.plan.street.sides[int(rng.integers(2))]


def _add_machine(site: Site, rng: np.random.Generator) -> None:
    """A machine between barriers, and cones along the lane."""
    plan = site.plan
    made = vehicles.construction(child(rng))
    moment = 'vehicle.stopped' if rng.random() < .5 else 'vehicle.parked'
    for _ in range(20):
        s, side = plan.near_ego(child(rng), 0,
                                30), _random_side(site, child(rng))
        d = side.sign * (side.half + (-1.15 if side.parking else 1.35))
        z = 0. if side.parking else CURB
        if not plan.street.crosses(s, 9) and site.park(
                'vehicle.construction', made, s, d, rng.choice([0., np.pi
                                                                ]), z, moment):
            break
    else:
        return
    half = made[1][0] / 2
    for end in (-half - 1.4, half + 1.4):
        site.park('movable_object.barrier',
                  (street.barrier(child(rng)), (.7, 2., 1.)), s + end, d, 0.,
                  z, '')
    edge = side.sign * (side.half + (-2.3 if side.parking else -.3))
    for k in np.arange(-half - 4, half + 5, rng.uniform(2., 3.)):
        add_cone(site, s + k, edge + rng.normal(0, .05), rng.uniform(0, 1.5))


def _add_barriers(site: Site, rng: np.random.Generator) -> None:
    """A row of barriers along a curb."""
    side = _random_side(site, child(rng))
    s = site.plan.near_ego(child(rng), -5, 45)
    for k in range(int(rng.integers(3, 9))):
        site.park('movable_object.barrier',
                  (street.barrier(child(rng)), (.7, 2., 1.)), s + 2.25 * k,
                  side.sign * (side.half + .45),
                  np.pi / 2 + rng.normal(0, .05), CURB, '')


def _add_cones(site: Site, rng: np.random.Generator) -> None:
    """A few cones that close a piece of the curb."""
    side = _random_side(site, child(rng))
    s, step = site.plan.near_ego(child(rng), 0, 40), rng.uniform(1.5, 4.)
    for k in range(int(rng.integers(3, 8))):
        add_cone(site, s + step * k,
                 side.sign * (side.half - .3 + rng.normal(0, .1)),
                 rng.uniform(0, 1.5))


def add_trailer(site: Site, rng: np.random.Generator) -> None:
    """Add a trailer, parked or towed."""
    _, made = make_vehicle('trailer' if rng.random() < .7 else 'caravan',
                           child(rng))
    for _ in range(30):
        if rng.random() < .4:
            side = _random_side(site, child(rng))
            s = site.plan.near_ego(child(rng), 0, 40)
            d, yaw = side.half - 1.12, np.pi if side.sign > 0 else 0.
            if side.parking and site.park('vehicle.trailer', made, s,
                                          side.sign * d, yaw):
                return
        elif _tow(site, made, child(rng)):
            return


def _tow(site: Site, made, rng: np.random.Generator) -> bool:
    """A trailer behind a car or a truck, if there is room for both."""
    plan, times = site.plan, site.plan.times
    mesh, size = made
    direction = int(rng.choice([-1, 1]))
    lane = np.full_like(times, plan.street.lane(0, direction))
    speed = plan.ego.speed * rng.uniform(.6, 1.05)
    s = plan.near_ego(child(rng), 8, 40) + direction * speed * \
        (times - plan.duration / 2)
    category, (pulling,
               own) = make_vehicle('truck' if rng.random() < .4 else 'car',
                                   child(rng))
    behind = s - direction * ((own[0] + size[0]) / 2 + .25)
    if not site.drive(
            'vehicle.trailer',
            size,
            behind,
            lane,
            mesh,
            yaw=plan.street.yaws(behind, direction)):
        return False
    site.drive(
        category, own, s, lane, pulling, yaw=plan.street.yaws(s, direction))
    return True
