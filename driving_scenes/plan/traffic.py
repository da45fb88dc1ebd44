"""Vehicles and riders on the streets, moving or parked."""
import numpy as np

from ..seeds import child
from .fleet import make_vehicle, ride
from .site import Site
from .street import CURB, TRACK, Crossing, Side


def add_traffic(site: Site, rng: np.random.Generator) -> None:
    """Add the traffic along the main street."""
    street = site.plan.street
    for direction in (1, -1):
        for k in range(street.lanes):
            _add_lane(site, k, direction, child(rng))
    for direction in (1, -1):
        _add_riders(site, direction, child(rng))
    if street.tram and rng.random() < .5:
        direction = int(rng.choice([-1, 1]))
        category, (mesh, size) = make_vehicle('train', child(rng))
        times = site.plan.times
        site.drive(category, size,
                   rng.uniform(40, 130) + direction * 6. * times,
                   np.full_like(times, -direction * TRACK), mesh)


def _add_lane(site: Site, k: int, direction: int,
              rng: np.random.Generator) -> None:
    """A queue of vehicles in a lane; some lanes stand still."""
    plan, times = site.plan, site.plan.times
    d, own = plan.street.lane(k, direction), plan.ego
    speed = own.speed * rng.uniform(.85, 1.1)
    run = speed * times
    if direction > 0 and k == own.lane:
        if own.mode != 'turn':
            run = own.s - own.s[4]
    elif rng.random() < .2:
        speed, run = 0., np.zeros_like(times)
    s = -60.
    while s < 210:
        gap = rng.exponential(16 / (.35 + plan.city.cars)) + 7.
        s += gap if speed else gap * .5
        category, (mesh, size) = make_vehicle(
            str(rng.choice(['car', 'truck', 'bus'], p=[.91, .06, .03])),
            child(rng))
        at = (s if direction > 0 else s + speed * 8) + direction * run
        if site.drive(
                category,
                size,
                at,
                np.full_like(times, d + rng.normal(0, .12)),
                mesh,
                attribute='vehicle.moving' if speed else 'vehicle.stopped',
                yaw=plan.street.yaws(at, direction)):
            s += size[0]


def _add_riders(site: Site, direction: int, rng: np.random.Generator) -> None:
    """Bicycles at the edge of the road, and a motorcycle now and then."""
    street, times = site.plan.street, site.plan.times
    edge = -direction * (street.inner - (.75 if street.bike else .7))
    for _ in range(int(rng.poisson(1.6 if street.bike else 1.))):
        s = rng.uniform(-10, 120) + direction * rng.uniform(3.2, 5.5) * times
        ride(site, False, s, np.full_like(times, edge), child(rng))
    if rng.random() < .3:
        speed = site.plan.ego.speed * rng.uniform(.9, 1.1)
        s = rng.uniform(10, 120) + direction * speed * times
        lane = street.lane(int(rng.integers(street.lanes)), direction)
        ride(site, True, s, np.full_like(times, lane + rng.uniform(-.8, .8)),
             child(rng))


def add_cross_traffic(site: Site, rng: np.random.Generator) -> None:
    """Add vehicles that wait, or are parked, in the crossing streets."""
    for crossing in site.plan.street.crossings:
        for sign in (-1, 1):
            _add_queue(site, crossing, sign, child(rng))
            if crossing.half > 3.6:
                _add_parked_across(site, crossing, sign, child(rng))


def _add_queue(site: Site, crossing: Crossing, sign: int,
               rng: np.random.Generator) -> None:
    """Vehicles that wait to enter the main street, on the right-hand side."""
    s = crossing.s - sign * crossing.half / 2
    d = sign * (site.plan.street.sides[0 if sign > 0 else 1].half + 4.5)
    for _ in range(int(rng.poisson(1.1))):
        category, made = make_vehicle(
            str(rng.choice(['car', 'truck', 'bus'], p=[.9, .07, .03])),
            child(rng))
        half = made[1][0] / 2
        site.park(
            category,
            made,
            s,
            d + sign * half,
            -sign * np.pi / 2,
            attribute='vehicle.stopped')
        d += sign * (2 * half + rng.uniform(1, 2.5))


def _add_parked_across(site: Site, crossing: Crossing, sign: int,
                       rng: np.random.Generator) -> None:
    for d in np.arange(20, 70, 6.5):
        if rng.random() < .7 * site.plan.city.cars:
            site.park(*make_vehicle('car', child(rng)),
                      crossing.s + sign * (crossing.half - 1.), sign * d,
                      np.pi / 2 * rng.choice([-1, 1]))


def add_parked(site: Site, rng: np.random.Generator) -> None:
    """Add parked vehicles, and two-wheelers on the pavement."""
    for side in site.plan.street.sides:
        for a, e in site.plan.street.blocks:
            lo, hi = max(a + 9, -35), min(e - 9, 215)
            if side.parking:
                _add_parked_row(site, side, lo, hi, child(rng))
            own = child(rng)
            for _ in range(int(own.poisson(max(0., hi - lo) / 45))):
                _add_parked_bikes(site, side, own.uniform(lo, max(hi, lo + 1)),
                                  child(own))


def _add_parked_row(site: Site, side: Side, lo: float, hi: float,
                    rng: np.random.Generator) -> None:
    yaw, s = np.pi if side.sign > 0 else 0., lo
    while s < hi:
        roll = rng.random()
        if roll >= .35 + .6 * site.plan.city.cars:
            s += rng.uniform(3, 7)
            continue
        kind = next((kind
                     for limit, kind in ((.03, 'truck'), (.045, 'caravan'),
                                         (.06, 'trailer'),
                                         (.09, 'motorcycle')) if roll < limit),
                    'car')
        category, made = make_vehicle(kind, child(rng))
        length = made[1][0]
        site.park(
            category, made, s + length / 2,
            side.sign * (side.half - 1.12) + rng.normal(0, .07),
            yaw + rng.normal(0, .02) + (np.pi if rng.random() < .1 else 0))
        s += length + rng.uniform(.5, 1.4)


def _add_parked_bikes(site: Site, side: Side, s: float,
                      rng: np.random.Generator) -> None:
    for k in range(int(rng.integers(1, 6))):
        category, made = make_vehicle(
            'motorcycle' if rng.random() < .12 else 'bicycle', child(rng))
        site.park(category, made, s + .75 * k, side.sign * (side.half + 1.25),
                  np.pi / 2 + rng.normal(0, .12), CURB, 'cycle.without_rider')
