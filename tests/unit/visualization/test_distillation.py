"""Sheets of visuals, and their history."""
import numpy as np
import pytest

from mmkd.visualization import History, draw_history, draw_visuals
from mmkd.visualization.distillation import _norms
from tests.fixtures.pictures import cells, heatmap, written


def test_panels(scene):
    visuals = [
        heatmap(np.eye(4), 'first', group='level 0', scale='both'),
        heatmap(np.eye(4) * 2, 'second', group='level 0', scale='both'),
        heatmap(np.eye(2), 'third', group='level 1')
    ]
    sheet = draw_visuals(visuals, scene, 'method: street')
    texts = written(sheet)
    assert [text for text in texts if text[0].isalpha()] == [
        'method: street', 'image', 'truth', 'student', 'first', 'level 0\n4x4',
        'second', 'third', 'level 1\n2x2'
    ]
    # One bar for both of a scale, and one for the third.
    numbers = [text for text in texts if text[0].isdigit()]
    assert numbers == ['0.0', '1.0', '2.0', '0.0', '0.5', '1.0']
    # The truth in the colours of its classes, black where it says nothing.
    found = cells(sheet, 0, 1, [(.1, .1), (.5, .1), (.5, .9)])
    assert found == [(0, 0, 0), (10, 20, 30), (40, 50, 60)]
    boxes, = sheet.figure.axes
    assert {text.get_text()
            for text in boxes.texts} == {'road 0.90', 'car 0.40'}
    assert boxes.get_xlim() == (0, 40) and boxes.get_ylim() == (20, 0)


def test_scales():
    first, second = np.array([1., 3.]), np.array([2., 9., np.nan])
    visuals = [
        heatmap([first], scale='both'),
        heatmap([second], scale='both'),
        heatmap([first]),
        heatmap([second], limits=(0, 1), scale='both'),
        heatmap([np.array([0., .1, 10.])], log=True),
        heatmap([first * 0], log=True),
        heatmap([second * np.nan]),
        heatmap([first * 0 + 7])
    ]
    norms = _norms(visuals, [[v.values[0].numpy()] for v in visuals])
    ranges = [(norm.vmin, norm.vmax) for norm in norms]
    assert ranges[:4] == [(1, 9), (1, 9), (1, 3), (0, 1)]
    assert ranges[4] == pytest.approx((.1, 10))
    assert 'Log' in type(norms[4]).__name__
    # Nothing above 0, nothing finite, nothing that differs.
    assert all(low < high for low, high in ranges[5:])


def test_history_is_thinned_evenly():
    history = History(most=4)
    for step in range(0, 1001, 100):
        history.add(step, [heatmap([[step]], changes=True), heatmap([[0]])])
        steps = sorted(history.frames)
        assert len(steps) <= 4 and (steps[0], steps[-1]) == (0, step)
    gaps = np.diff(steps)
    assert gaps.max() <= 3 * gaps.min()


def test_history_of_a_run_that_goes_on(tmp_path):
    history, path = History(), str(tmp_path / 'history.npz')
    for step in (0, 5, 10):
        history.add(step,
                    [heatmap([[step]], 'a|b', group='level 0', changes=True)])
    history.save(path)
    again = History()
    again.load(path, 5)
    assert sorted(again.frames) == [0, 5]
    assert again.frames[5] == {'level 0|a|b': np.array([[5.]])}


def test_strips(scene):
    history = History()
    visuals = [
        heatmap([[0., 1.]], 'mask 0', group='level 0', changes=True),
        heatmap([[0., 1.]], 'fixed', group='level 0'),
        heatmap([[0., 1.]], 'fixed', group='level 1')
    ]
    history.add(0, visuals)
    assert draw_history(history, visuals, scene, 'acam') == {}
    visuals[0].values = visuals[0].values * 4
    history.add(100, visuals)
    sheets = draw_history(history, visuals, scene, 'acam')
    assert list(sheets) == ['level 0']
    texts = written(sheets['level 0'])
    assert texts[0] == 'acam, level 0'
    # One range of colours for all iterations, and that of each.
    assert texts[1:] == [
        'iteration 0', 'mask 0', '0 to 1', 'iteration 100', '0 to 4', '0.0',
        '2.0', '4.0'
    ]
    new = [heatmap([[0.]], 'new', group='level 2', changes=True)]
    assert draw_history(history, new, scene) == {}
