import pytest

from mmkd.report.statistics import gain


def test_pairs_by_seed():
    found = gain({0: 10.0, 1: 20.0, 2: 30.0}, {1: 22.0, 0: 11.0, 2: 33.0})
    assert found.paired and found.seeds == 3
    assert found.mean == pytest.approx(2)
    assert found.error == pytest.approx(3**-0.5)
    assert not found.significant  # t = 3.5 of the 4.3 that three seeds need


def test_more_seeds_make_the_same_gain_significant():
    base = {seed: float(seed) for seed in range(6)}
    found = gain(base, {seed: seed + 1 + seed % 3 for seed in range(6)})
    assert found.mean == pytest.approx(2) and found.significant
    assert gain(base, base).mean == 0 and not gain(base, base).significant


def test_a_single_seed_has_no_error():
    found = gain({0: 1.0}, {0: 2.0})
    assert found.error is None and not found.significant


def test_runs_without_common_seeds_are_not_paired():
    found = gain({0: 1.0, 1: 3.0}, {2: 4.0, 3: 6.0})
    assert not found.paired and found.mean == pytest.approx(3)
    assert found.error == pytest.approx(2**0.5)
    assert gain({None: 1.0}, {None: 2.0}).mean == 1
