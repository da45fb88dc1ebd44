"""KITTI's metrics in a dozen lines."""
from itertools import product

from mmkd.evaluation.kitti_summary import kitti_summary

CLASSES = ('Pedestrian', 'Cyclist', 'Car')


def test_a_dozen_lines_of_over_a_hundred_numbers():
    endings = [*product(CLASSES, ('_strict', '_loose')), ('Overall', '')]
    keys = [
        f'Kitti metric/pred_instances_3d/KITTI/{name}_{boxes}_{points}_'
        f'{difficulty}{level}'
        for points, (name, level), boxes, difficulty in product((
            'AP11', 'AP40'), endings, ('2D', 'AOS', 'BEV',
                                       '3D'), ('easy', 'moderate', 'hard'))
    ]
    assert len(keys) > 100
    metrics = {key: float(i) for i, key in enumerate(keys)}
    lines = kitti_summary(metrics).splitlines()
    # A title, a header, a rule, strict and loose of each class, the mean.
    assert len(lines) == 3 + 2 * len(CLASSES) + 1
    assert lines[1].split() == [
        'class', 'level', '3D', 'easy', '3D', 'mod.', '3D', 'hard', 'BEV',
        'easy', 'BEV', 'mod.', 'BEV', 'hard'
    ]
    last = lines[-1].split()
    assert last[:2] == ['Overall', 'strict']
    key = 'Kitti metric/pred_instances_3d/KITTI/Overall_3D_AP40_moderate'
    assert float(last[3]) == metrics[key]


def test_boxes_in_the_image():
    text = kitti_summary({
        'pred_instances/KITTI/Car_2D_AP40_easy_strict': 1.5,
        'pred_instances/KITTI/Car_AOS_AP40_easy_strict': 2.5,
        'pred_instances/KITTI/Car_2D_AP11_easy_strict': 3.5
    })
    assert text.splitlines()[-1].split() == ['Car', 'strict', '1.50', '-', '-']


def test_other_metrics():
    assert kitti_summary({'mIoU': 50., 'NDS': 0.3}) is None
