"""Visuals, painted into panels."""
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mmkd.core.visuals import Colours, Visual
from mmkd.visualization import Scene, draw_visuals, paint
from tests.fixtures.pictures import cells, heatmap, near, written


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


def test_colours_of_cells(scene):
    """As they are, without the padding."""
    values = torch.zeros(1, 32, 64, 3)
    values[:, :20, 20:40, 0] = values[:, :, :20, 1] = 1
    sheet = draw_visuals([Colours('features', values)], scene)
    left, right = cells(sheet, 1, 0, [(.5, .2), (.5, .8)])
    assert near(left, (0, 255, 0)) and near(right, (255, 0, 0))
    assert '32x64' in written(sheet)


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


def test_another_kind_of_visual(scene):

    @dataclass
    class Points(Visual):
        places: tuple = ()

    points = Points(
        'points', torch.tensor([[0., 1.]]), places=([1, 2], [3, 4]))
    with pytest.raises(TypeError, match='no painter'):
        draw_visuals([points], scene)

    @paint.register
    def paint_points(visual: Points, panel, values, scene, norm):
        panel.axes().scatter(*visual.places, c=values, norm=norm)
        return True

    sheet = draw_visuals([points], scene)
    dots = sheet.figure.axes[-1].collections[0]
    assert dots.get_array().tolist() == [0, 1]
    assert '0.5' in written(sheet) and sheet.render()
