import xml.etree.ElementTree as ElementTree

import pytest

from mmkd.report.charts import (Line, line_chart, mean_line, seed_chart,
                                smooth, ticks)


@pytest.mark.parametrize('low, high', [(0, 1), (0.02, 0.021), (-3, 40000)])
def test_ticks(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 6
    assert low - 1e-9 <= found[0] < found[-1] <= high + 1e-9


def test_mean_of_seeds():
    lines = [Line('a', 1, [1, 2, 3], [1, 2, 3]), Line('a', 1, [2, 3], [4, 5])]
    assert mean_line(lines).x == [2, 3] and mean_line(lines).y == [3, 4]
    assert mean_line(lines[:1]) is None


def test_smooth_keeps_short_curves():
    assert smooth([1., 5., 2.]) == [1., 5., 2.]
    assert max(smooth([0., 1.] * 20)) < 0.7


def test_line_chart_is_valid_and_inside():
    svg = line_chart([
        Line('<a>', 0, [0, 50, 100], [3, float('nan'), 1]),
        Line('b', 1, [0, 100], [2, 2], True)
    ], 'a "label"')
    root = ElementTree.fromstring(svg)
    lines = root.findall('polyline')
    assert [line.get('class') for line in lines] == ['c0', 'c1 faint']
    for line in lines:
        for point in line.get('points').split():
            x, y = map(float, point.split(','))
            assert 0 <= x <= 460 and 0 <= y <= 250
    assert line_chart([], 'nothing') == ''
    assert 'NaN' not in line_chart([Line('flat', 0, [5], [0.])], 'one point')


def test_seed_chart():
    root = ElementTree.fromstring(
        seed_chart([1, 2], [2, 4], ['seed 0', 'seed 1'], 1, 'label'))
    assert len(root.findall('circle')) == 4
