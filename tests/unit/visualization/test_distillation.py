"""Drawing what methods look at."""
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mmkd.core.visuals import Heatmap, Visual
from mmkd.visualization import (Boxes, History, Scene, draw_history,
                                draw_visuals, paint)
from mmkd.visualization.distillation import _norms, pixels


@pytest.fixture
def scene():
    """A grey picture, 20 x 40, padded to 32 x 64, with all panels."""
    labels = np.zeros((20, 40), np.int64)
    labels[:, 20:], labels[:4] = 1, 255
    return Scene(
        'street',
        np.full((20, 40, 3), 128, np.uint8), (32, 64),
        dict(
            truth=labels,
            student=Boxes(
                np.array([[2., 3., 20., 15.], [0., 0., 4., 4.]]),
                np.array([0, 1]), np.array([0.9, 0.4]))),
        classes=['road', 'car'],
        palette=[(10, 20, 30), (40, 50, 60)])


def heatmap(values, name='map', **kwargs):
    return Heatmap(name,
                   torch.as_tensor(np.array(values)).float()[None], **kwargs)


def written(sheet):
    return [text.get_text() for text in sheet.figure.texts]


def cells(sheet, row, column, points):
    """Colours in a panel, at places given as shares of height and width."""
    left, top, width, height = sheet.panel(row, column).box
    image = pixels(sheet.render())
    assert image.dtype == np.uint8 and image.shape == sheet.canvas.shape
    return [
        tuple(image[top + int(y * height), left + int(x * width)].tolist())
        for y, x in points
    ]


def near(color, other, tolerance=1):
    return max(abs(a - b) for a, b in zip(color, other)) <= tolerance


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


def test_maps_lie_over_the_padded_image(scene):
    """Of 32 rows and 64 columns, 20 and 40 are shown."""
    values = np.zeros((32, 64))
    values[:20, 20:40] = 1
    values[20:] = values[:, 40:] = 7
    visual = heatmap(values, color='red', limits=(0, 1))
    sheet = draw_visuals([visual], scene)
    found = cells(sheet, 1, 0, [(.99, .01), (.99, .48), (.01, .52),
                                (.99, .99)])
    background = tuple(round(0.6 * 128 + 25.5) for _ in range(3))
    assert near(found[0], background) and near(found[1], background)
    # Of the darkened image a fifth is left under the mask.
    covered = (0.8 * 255 + 0.2 * 102, 20, 20)
    assert near(found[2], covered) and near(found[3], covered)
    assert '1.0' not in written(sheet)  # no colour bar


def test_colours_over_the_image(scene):
    """More of the image where the value is low; grey where there is none."""
    values = np.array([[0., 1.], [np.nan, 1.]])
    scene.size = (20, 40)
    low, high, unseen = cells(
        draw_visuals([heatmap(values)], scene), 1, 0, [(.2, .2), (.2, .8),
                                                       (.8, .2)])
    grey = 255 * (0.15 + 0.7 * 128 / 255)
    assert near(low, [.4 * c + .6 * grey for c in (68, 1, 84)])
    assert near(high, [.9 * c + .1 * grey for c in (253, 231, 37)])
    assert near(unseen, [.65 * 128 + .35 * grey] * 3)


def test_birds_eye_view():
    """Without an image, and y points up."""
    values = np.array([[0., 0.], [0., 1.]])
    sheet = draw_visuals([heatmap(values, extent=(0., -10., 40., 10.))],
                         Scene('cloud'))
    assert sheet.height * 2 == sheet.width
    found = cells(sheet, 0, 0, [(.2, .8), (.8, .8), (.2, .2)])
    # Both ends of viridis.
    assert near(found[0], (253, 231, 37))
    assert near(found[1], (68, 1, 84)) and near(found[2], (68, 1, 84))


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


def test_another_kind_of_visual(scene):

    @dataclass
    class Points(Visual):
        places: tuple = ()

    points = Points(
        'points', torch.tensor([[0., 1.]]), places=([1, 2], [3, 4]))
    with pytest.raises(TypeError, match='how to paint'):
        draw_visuals([points], scene)

    @paint.register
    def paint_points(visual: Points, panel, values, scene, norm):
        panel.axes().scatter(*visual.places, c=values, norm=norm)
        return True

    sheet = draw_visuals([points], scene)
    dots = sheet.figure.axes[-1].collections[0]
    assert dots.get_array().tolist() == [0, 1]
    assert '0.5' in written(sheet) and sheet.render()


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
