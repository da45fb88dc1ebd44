"""Layout of a sheet, and its pixels."""
import numpy as np
import pytest

from mmkd.visualization.sheet import Sheet, pixels, stretch


@pytest.mark.parametrize('aspect, size', [(.5, (160, 320)), (2., (320, 160)),
                                          (.01, (40, 320))])
def test_panels_keep_their_aspect_and_do_not_overlap(aspect, size):
    sheet = Sheet(2, 3, aspect)
    covered = np.zeros(sheet.canvas.shape[:2], int)
    for row in range(2):
        for column in range(3):
            panel = sheet.panel(row, column)
            assert panel.size == size
            left, top, width, height = panel.box
            covered[top:top + height, left:left + width] += 1
    assert covered.max() == 1 and covered.sum() == 6 * size[0] * size[1]


def test_a_rendered_sheet_shows_its_panels():
    sheet = Sheet(1, 2, 1.)
    panel = sheet.panel(0, 1)
    panel.show(np.broadcast_to([1., 0., .4], (*panel.size, 3)))
    image = pixels(sheet.render())
    left, top, width, height = panel.box
    assert image.shape == sheet.canvas.shape
    inside = image[top:top + height, left:left + width]
    assert (inside == [255, 0, 102]).all()
    left, top, width, height = sheet.panel(0, 0).box
    assert (image[top:top + height, left:left + width] == 255).all()


def test_stretching_keeps_cells_sharp():
    picture = np.array([[1, 2], [3, 4]])
    assert stretch(picture, (2, 4)).tolist() == [[1, 1, 2, 2], [3, 3, 4, 4]]
    assert stretch(picture, (1, 2), (.5, .5)).tolist() == [[1, 1]]
