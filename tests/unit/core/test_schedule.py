import pytest

from mmkd.core.schedule import Progress, WeightSchedule, build_weight
from mmkd.errors import ConfigError


def at(schedule, *iters, length=100):
    return [schedule(Progress(i, length)) for i in iters]


def test_constant():
    assert at(WeightSchedule(3), 0, 99, 1000) == [3, 3, 3]
    assert WeightSchedule(3)(Progress(5, None)) == 3


def test_begin_and_warmup():
    schedule = WeightSchedule(8., begin=10, warmup=4)
    assert at(schedule, 0, 9, 10, 11, 13, 14, 99) == [0, 0, 0, 2, 6, 8, 8]


@pytest.mark.parametrize('decay, middle', [('linear', 6), ('cosine', 6),
                                           ('step', 10)])
def test_decay(decay, middle):
    schedule = WeightSchedule(
        10., decay=decay, decay_begin=20, end=60, final=2.)
    assert at(schedule, 0, 20, 60, 99) == [10, 10, 2, 2]
    assert at(schedule, 40)[0] == pytest.approx(middle)


def test_cosine_is_no_line():
    schedule = WeightSchedule(1., decay='cosine')
    assert at(schedule, 25)[0] == pytest.approx(0.8535533905932737)


def test_shares_of_the_run():
    schedule = WeightSchedule(
        1., begin=0.1, warmup=0.1, decay='linear', decay_begin=0.5)
    assert at(schedule, 9, 15, 20, 50, 75, 100) == [0, .5, 1, 1, .5, 0]
    assert schedule(Progress(150, 1000)) == .5
    with pytest.raises(ConfigError, match='length of the run'):
        schedule(Progress(3, None))


@pytest.mark.parametrize('wrong', [
    -1,
    float('nan'),
    float('inf'), True, '3', [3],
    dict(value=1., final=-1.),
    dict(value=1., decay='exp'),
    dict(value=1., warmup=-5),
    dict(value=1., warmup=1000.),
    dict(value=1., end=None),
    dict(value=1., warm_up=5)
])
def test_wrong(wrong):
    with pytest.raises(ConfigError):
        build_weight(wrong)


def test_wrong_argument_is_named():
    with pytest.raises(ConfigError, match="'warm_up'.*warmup"):
        build_weight(dict(value=1., warm_up=5))


def test_build():
    schedule = WeightSchedule(2.)
    assert build_weight(schedule) is schedule
    assert build_weight(2.) == schedule
    assert build_weight(dict(value=2.)) == schedule


def test_peak():
    assert WeightSchedule(2., warmup=5).peak == 2.
    assert WeightSchedule(2., decay='linear').peak == 2.
    assert WeightSchedule(0., decay='linear', final=3.).peak == 3.
    assert WeightSchedule(1., final=3.).peak == 1.
