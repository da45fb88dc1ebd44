"""The metric of KITTI, on infos of mmdet3d."""
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from mmkd.errors import ConfigError
from mmkd.registry import METRICS

SIZES = dict(
    Car=(4., 1.5, 2.), Pedestrian=(.8, 1.7, .6), Cyclist=(1.8, 1.7, .6))

FRAMES = 41  # with fewer true boxes not all 41 recalls are reached

CALIB = np.array([[300., 0, 200, 0], [0, 300, 60, 0], [0, 0, 1, 0],
                  [0, 0, 0, 1]])
LIDAR2CAM = np.array([[0., -1, 0, 0], [0, 0, -1, -.1], [1, 0, 0, -.3],
                      [0, 0, 0, 1]])
SPOTS = [('Car', 0, 9., 1., .3), ('Pedestrian', 1, 10., -3., 1.),
         ('Cyclist', 2, 11., 4., 2.)]
ORDER = ['Car', 'Pedestrian', 'Cyclist']


@pytest.fixture(scope='module')
def kitti_infos(tmp_path_factory):
    """Info file and true LiDAR boxes of frames with one of each class."""
    pytest.importorskip('mmdet3d')
    from mmdet3d.structures import (Box3DMode, LiDARInstance3DBoxes,
                                    points_cam2img)
    boxes, data_list = [], []
    for frame in range(FRAMES):
        rows = [(x + .02 * frame, y, -1.7, SIZES[name][0], SIZES[name][2],
                 SIZES[name][1], yaw) for name, _, x, y, yaw in SPOTS]
        lidar = LiDARInstance3DBoxes(torch.tensor(rows))
        camera = lidar.convert_to(Box3DMode.CAM, LIDAR2CAM)
        pixels = points_cam2img(camera.corners, torch.tensor(CALIB).float())
        image = torch.cat([pixels.amin(1), pixels.amax(1)], 1).clamp(min=0)
        image = torch.minimum(image, image.new_tensor([400, 120, 400, 120]))
        instances = [
            dict(
                bbox_label=label,
                truncated=0.,
                occluded=0,
                score=0.,
                alpha=float(-np.arctan2(-row[1], row[0]) + box[6]),
                bbox=flat.tolist(),
                bbox_3d=box.tolist())
            for (_, label,
                 *_), row, box, flat in zip(SPOTS, rows, camera.tensor, image)
        ]
        data_list.append(
            dict(
                sample_idx=1000 + frame,
                images=dict(
                    CAM2=dict(
                        cam2img=CALIB.tolist(),
                        lidar2cam=LIDAR2CAM.tolist(),
                        height=120,
                        width=400)),
                instances=instances))
        boxes.append(lidar)
    path = tmp_path_factory.mktemp('kitti') / 'kitti_infos_val.pkl'
    metainfo = dict(categories={name: i for i, name in enumerate(ORDER)})
    path.write_bytes(
        pickle.dumps(dict(metainfo=metainfo, data_list=data_list)))
    return str(path), boxes


def run_metric(metric, boxes, count=3):
    metric.dataset_meta = dict(classes=ORDER)
    for i, lidar in enumerate(boxes):
        metric.process({}, [
            dict(
                sample_idx=i,
                pred_instances=dict(),
                pred_instances_3d=dict(
                    bboxes_3d=lidar[:count].clone(),
                    scores_3d=torch.ones(count),
                    labels_3d=torch.arange(count)))
        ])
    return metric.evaluate(len(boxes))


def build(path, **kwargs):
    return METRICS.build(
        dict(type='mmkd.KittiMetric', ann_file=path, **kwargs))


def test_metric_of_the_truth(kitti_infos):
    path, boxes = kitti_infos
    scores = run_metric(build(path, metric='bbox'), boxes)
    prefix = 'Kitti metric/pred_instances_3d/KITTI/'
    assert scores[f'{prefix}Overall_3D_AP40_moderate'] == 100
    assert scores[f'{prefix}Car_AOS_AP11_easy_strict'] == 100
    assert len(scores) == 168 and set(scores.values()) == {100.}
    flat = run_metric(build(path, metric='img_bbox'), boxes)
    assert {key.split('_')[-4]
            for key in flat if 'Car' in key} == {'2D', 'AOS'}


def test_metric_of_shifted_boxes_and_of_none(kitti_infos):
    path, boxes = kitti_infos
    moved = []
    for lidar in boxes:
        moved.append(lidar.clone())
        moved[-1].tensor[:, 2] += .5
    scores = run_metric(build(path), moved)
    prefix = 'Kitti metric/pred_instances_3d/KITTI/'
    assert scores[f'{prefix}Overall_BEV_AP40_moderate'] == 100
    # IoU of 1 / 2 and 1.2 / 2.2.
    assert scores[f'{prefix}Car_3D_AP40_moderate_loose'] == 0
    assert scores[f'{prefix}Cyclist_3D_AP40_moderate_strict'] == 100
    nothing = run_metric(build(path), boxes, count=0)
    assert nothing and set(nothing.values()) == {0.}


def test_metric_writes_files(kitti_infos, tmp_path):
    path, boxes = kitti_infos
    folder = tmp_path / 'submission'
    metric = build(path, format_only=True, submission_prefix=str(folder))
    assert run_metric(metric, boxes) == {}
    lines = (folder / 'pred_instances_3d' /
             '000001.txt').read_text().splitlines()
    assert [line.split()[0] for line in lines] == ORDER


def test_metric_by_points(kitti_infos, tmp_path):
    path, boxes = kitti_infos
    with open(path, 'rb') as file:
        infos = pickle.load(file)
    with pytest.raises(ConfigError, match='without `num_lidar_pts`'):
        run_metric(
            METRICS.build(dict(type='mmkd.KittiByPoints', ann_file=path)),
            boxes)
    for info in infos['data_list']:
        for count, instance in zip((3, 10, 50), info['instances']):
            instance['num_lidar_pts'] = count
    path = tmp_path / 'infos.pkl'
    path.write_bytes(pickle.dumps(infos))
    moved = []
    for lidar in boxes:
        moved.append(lidar.clone())
        moved[-1].tensor[0, 2] += 1  # the cars, which have the fewest
    metric = METRICS.build(dict(type='mmkd.KittiByPoints', ann_file=str(path)))
    scores = run_metric(metric, moved)
    prefix = 'Kitti metric/pred_instances_3d/KITTI/'
    found = {
        key[len(prefix) + 7:-5]: value
        for key, value in scores.items() if 'points_' in key
    }
    assert found.pop('101+_3D') != found.pop('101+_BEV')  # NaN
    assert found == {
        '1-5_3D': 0.,
        '1-5_BEV': 100.,
        **{
            f'{group}_{x}': 100.
            for group in ('6-20', '21-100')
            for x in ('3D', 'BEV')
        }
    }
    assert scores[f'{prefix}Pedestrian_3D_AP40_moderate_strict'] == 100
    for wrong in (dict(edges=(5, 1)), dict(difficulty='none')):
        with pytest.raises(ConfigError, match='edges|difficulty'):
            METRICS.build(
                dict(type='mmkd.KittiByPoints', ann_file=str(path), **wrong))


def test_metric_refuses_wrong_arguments(kitti_infos, tmp_path):
    path, _ = kitti_infos
    with pytest.raises(ConfigError, match='no info file .*missing.pkl'):
        build(str(tmp_path / 'missing.pkl'))
    with pytest.raises(ConfigError, match="got 'LET_mAP'"):
        build(path, metric='LET_mAP')
    with pytest.raises(ConfigError, match='submission_prefix'):
        build(path, format_only=True)
    with pytest.raises(ConfigError, match="class 'Tram'"):
        build(path).dataset_meta = dict(classes=['Car', 'Tram'])


def test_other_metrics_do_not_wait_for_mmdet3d():
    code = ('import sys; from mmkd.registry import METRICS; '
            "assert METRICS.get('mmkd.BoundaryIoUMetric'); "
            'import mmkd.evaluation; '
            "assert not {'mmdet3d', 'numba'} & set(sys.modules)")
    subprocess.run([sys.executable, '-c', code], check=True)
