import cv2
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from mmkd.core.network import build_network
from mmkd.testing import distillation_config, segmentation_config
from mmkd.visualization.segmentation import (draw_comparison, draw_curves,
                                             predict)


@pytest.fixture
def image(tmp_path):
    path = str(tmp_path / 'image.png')
    cv2.imwrite(path, np.full((32, 64, 3), 90, np.uint8))
    return path


@pytest.mark.parametrize('distilled', [False, True])
def test_predictions_are_those_of_the_student(image, tmp_path, distilled):
    cfg = segmentation_config('', str(tmp_path))
    torch.manual_seed(0)
    network = build_network(cfg, 'the student')
    if distilled:
        cfg = distillation_config(cfg, dict(kd=dict(type='LogitsKD')))
    cfg.dump(str(tmp_path / 'cfg.py'))
    torch.save(network.state_dict(), str(tmp_path / 'weights.pth'))
    found, = predict(
        str(tmp_path / 'cfg.py'), str(tmp_path / 'weights.pth'), [image])
    batch = dict(inputs=[torch.full((3, 32, 64), 90, dtype=torch.uint8)])
    expected = network.eval().test_step(batch)[0].pred_sem_seg.data[0]
    np.testing.assert_array_equal(found, expected.numpy())


def test_ignored_pixels_are_black_in_predictions(image, tmp_path):
    labels = np.zeros((32, 64), np.uint8)
    labels[16:] = 255
    cv2.imwrite(str(tmp_path / 'labels.png'), labels)
    path = str(tmp_path / 'figure.png')
    draw_comparison([image], [str(tmp_path / 'labels.png')],
                    dict(one=[np.zeros((32, 64), int)]),
                    dict(one=([1, 2, 3], [3., 2., 1.])), path)
    picture = cv2.imread(path).astype(int)
    # Half of the truth and half of the prediction: road, and black.
    road = (np.abs(picture - (128, 64, 128)).sum(2) < 9).sum()
    black = (picture.sum(2) < 9).sum()
    assert road == pytest.approx(black, rel=.2) and road > 1000


def test_curves_are_smoothed():
    axes = Figure().add_subplot()
    draw_curves(
        axes,
        dict(
            one=(range(10, 16), [6., 0., 3., 3., 0., 6.]),
            none=([], []),
            short=([5], [1.])))
    one, short = axes.lines
    assert one.get_xdata().tolist() == [11, 12, 13, 14, 15]
    assert one.get_ydata().tolist() == [3, 1.5, 3, 1.5, 3]
    assert short.get_ydata().tolist() == [1]
