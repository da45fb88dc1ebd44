import os.path as osp

import cv2
import numpy as np

from mmkd.methods.xray.data import build
from mmkd.methods.xray.data.pictures import draw_frames
from mmkd.testing.sequences import make_sequence, write_sequences


def coloured(path, color):
    """Pixels of about a colour."""
    bgr = [int(color[i:i + 2], 16) for i in (5, 3, 1)]
    difference = np.abs(cv2.imread(path).astype(int) - bgr)
    return (difference.sum(2) < 60).sum()


def test_points_of_other_frames_are_red(tmp_path):
    root = str(tmp_path)
    infos = write_sequences(root, dict(s=make_sequence('s')))
    complete, _ = build.complete(infos, root, 'points', progress=False)
    points = osp.join(root, 'points')
    paths = draw_frames(complete, points, root, 2)
    assert [osp.basename(path) for path in paths
            ] == ['s_000.png', f's_{len(infos["data_list"]) // 2:03d}.png']
    red = [coloured(path, '#d50000') for path in paths]
    assert min(red) > 50 and coloured(paths[0], '#2979ff') > 20
    # Without objects nothing is added.
    for info in complete['data_list']:
        info['instances'] = []
    path, = draw_frames(complete, points, root, 1)
    assert coloured(path, '#d50000') == 0


def test_no_more_frames_than_there_are(tmp_path):
    assert draw_frames(dict(data_list=[]), '', str(tmp_path), 3) == []
