import contextlib
import hashlib
import io
import json
import os
import os.path as osp
from collections import defaultdict

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from driving_scenes.errors import ScenesError
from driving_scenes.generate import generate, problems
from driving_scenes.infos import make_nuscenes_infos
from driving_scenes.labels import color_table
from driving_scenes.nuscenes import (FULL, MINI, NUSCENES_SIZES, NuScenesSize,
                                     nuscenes_attribute, nuscenes_category,
                                     nuscenes_world)
from driving_scenes.presets import PRESETS, SPLITS
from driving_scenes.sensors import Renderer, nuscenes_rig
from driving_scenes.world import Motion, SceneObject
from driving_scenes.writers.nuscenes import ATTRIBUTES, CATEGORIES
from mmkd import cli
from mmkd.errors import ConfigError
from mmkd.visualization.data_frames import (NuScenesFrames, box_corners,
                                            open_frames, project)
from tests.fixtures.processes import SERVER, run

SIZE = NuScenesSize(1, 1, 1, 3, 1, 48, 84, 240)
#: A seed whose scene of the validation split shows all ten classes.
SEED = 12


def make(root, workers):
    PRESETS['test'], NUSCENES_SIZES['test'] = PRESETS['tiny'], SIZE
    try:
        generate('test', root, SEED, formats=('nuscenes', ), workers=workers)
    finally:
        del PRESETS['test'], NUSCENES_SIZES['test']


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = str(tmp_path_factory.mktemp('scenes') / 'data')
    make(root, 1)
    return root


def load(root, version):
    from nuscenes.nuscenes import NuScenes
    return NuScenes(version, osp.join(root, 'nuscenes'), verbose=False)


@pytest.fixture(scope='module')
def mini(scenes):
    return load(scenes, 'v1.0-mini')


@pytest.fixture(scope='module')
def test_split(scenes):
    return load(scenes, 'v1.0-test')


def evaluate(nusc, split, folder, shift=(0., 0.)):
    """Scores of the truth, moved, as predictions."""
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.detection.evaluate import NuScenesEval
    from nuscenes.eval.detection.utils import category_to_detection_name
    from nuscenes.utils.splits import create_splits_scenes
    names = {x['token']: x['name'] for x in nusc.attribute}
    wanted = create_splits_scenes()[split]
    results = {}
    for sample in nusc.sample:
        if nusc.get('scene', sample['scene_token'])['name'] not in wanted:
            continue
        found = results.setdefault(sample['token'], [])
        for token in sample['anns']:
            row = nusc.get('sample_annotation', token)
            name = category_to_detection_name(row['category_name'])
            # As the devkit does with the truth.
            if name is None or not row['num_lidar_pts']:
                continue
            velocity = np.nan_to_num(nusc.box_velocity(token)[:2])
            x, y, z = row['translation']
            found.append(
                dict(
                    sample_token=sample['token'],
                    translation=[x + shift[0], y + shift[1], z],
                    size=row['size'],
                    rotation=row['rotation'],
                    velocity=velocity.tolist(),
                    detection_name=name,
                    detection_score=1.,
                    attribute_name=names[row['attribute_tokens'][0]]
                    if row['attribute_tokens'] else ''))
    path = osp.join(str(folder), 'results.json')
    meta = dict.fromkeys(
        ('use_camera', 'use_lidar', 'use_radar', 'use_map', 'use_external'),
        False)
    with open(path, 'w') as file:
        json.dump(dict(meta=meta, results=results), file)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = NuScenesEval(
            nusc,
            config_factory('detection_cvpr_2019'),
            path,
            split,
            str(folder),
            verbose=False)
        metrics, _ = evaluation.evaluate()
    present = {
        box.detection_name
        for boxes in evaluation.gt_boxes.boxes.values()
        for box in boxes
    }
    return metrics, present


def test_official_names():
    from nuscenes.utils import splits
    for split in SPLITS:
        names = {f'scene-{x:04d}' for x in FULL[split]}
        assert names < set(getattr(splits, split))
        assert len(names) == len(FULL[split])
    for split in ('train', 'val'):
        assert [f'scene-{x:04d}'
                for x in MINI[split]] == getattr(splits, f'mini_{split}')
    for size in NUSCENES_SIZES.values():
        every = [
            size.scene_name(split, number) for split in SPLITS
            for number in range(getattr(size, split))
        ]
        assert len(set(every)) == len(every)
    assert NUSCENES_SIZES['small'].version == 'v1.0-mini'
    assert NUSCENES_SIZES['bench'].version == 'v1.0-trainval'
    assert len(CATEGORIES) == 23 and len(ATTRIBUTES) == 8


def test_devkit_loads_all_tables(mini, test_split):
    assert [x['name'] for x in mini.scene] == ['scene-0061', 'scene-0103']
    assert [x['name'] for x in test_split.scene] == ['scene-0077']
    assert len(mini.category) == 23 and len(mini.visibility) == 4
    for nusc in (mini, test_split):
        for sample in nusc.sample:
            assert len(sample['data']) == 7
            for channel, token in sample['data'].items():
                path, boxes, matrix = nusc.get_sample_data(token)
                assert osp.isfile(path)
                if channel != 'LIDAR_TOP':
                    assert cv2.imread(path).shape == (48, 84, 3)
                    assert matrix.shape == (3, 3)
        for scene in nusc.scene:
            self_first = nusc.get('sample', scene['first_sample_token'])
            assert self_first['prev'] == ''
            times, token = [], scene['first_sample_token']
            while token:
                sample = nusc.get('sample', token)
                times.append(sample['timestamp'])
                token = sample['next']
            assert sample['token'] == scene['last_sample_token']
            assert np.diff(times).tolist() == [500_000] * 2
            # One sweep between any two key frames.
            data = nusc.get('sample_data', self_first['data']['LIDAR_TOP'])
            keys = []
            while True:
                keys.append(data['is_key_frame'])
                if not data['next']:
                    break
                after = nusc.get('sample_data', data['next'])
                assert after['prev'] == data['token']
                assert after['timestamp'] - data['timestamp'] == 250_000
                data = after
            assert keys == [True, False, True, False, True]


def test_car_is_on_the_map(mini):
    for scene in mini.scene:
        log = mini.get('log', scene['log_token'])
        mask = mini.get('map', log['map_token'])['mask']
        sample = mini.get('sample', scene['first_sample_token'])
        pose = mini.get(
            'ego_pose',
            mini.get('sample_data',
                     sample['data']['LIDAR_TOP'])['ego_pose_token'])
        x, y, _ = pose['translation']
        assert mask.is_on_mask(np.array([x]), np.array([y])).all()
        assert not mask.is_on_mask(np.array([1.]), np.array([1.])).any()


def test_truth_scores_one(mini, test_split, tmp_path):
    metrics, present = evaluate(mini, 'mini_val', tmp_path)
    assert len(present) == 10
    assert metrics.mean_ap == pytest.approx(1)
    assert metrics.nd_score == pytest.approx(1)
    for name, error in metrics.tp_errors.items():
        assert error == pytest.approx(0, abs=1e-6), name
    # The test split is evaluated as well, here with the classes it shows.
    metrics, present = evaluate(test_split, 'test', tmp_path)
    for name in present:
        assert metrics.mean_dist_aps[name] == pytest.approx(1)


def test_test_split_under_names_of_val(scenes, test_split, tmp_path):
    from nuscenes.nuscenes import NuScenes
    other = NuScenes(
        'v1.0-trainval',
        osp.join(scenes, 'nuscenes', 'test_as_val'),
        verbose=False)
    assert [x['token']
            for x in other.sample] == [x['token'] for x in test_split.sample]
    one, present = evaluate(other, 'val', tmp_path)
    two, _ = evaluate(test_split, 'test', tmp_path)
    assert present and one.mean_ap == pytest.approx(two.mean_ap)
    assert one.nd_score == pytest.approx(two.nd_score)
    path = other.get_sample_data_path(other.sample[0]['data']['CAM_BACK'])
    assert osp.isfile(path)


def test_half_a_metre_is_seen(mini, tmp_path):
    metrics, _ = evaluate(mini, 'mini_val', tmp_path, (.3, .4))
    # The matching thresholds are 0.5, 1, 2 and 4 m; only the first one fails.
    # People and cycles stand so close that some match their neighbours.
    assert metrics.mean_ap == pytest.approx(.75, abs=.01)
    for name in ('car', 'truck', 'bus', 'trailer', 'construction_vehicle'):
        found = [metrics.get_label_ap(name, x) for x in (.5, 1., 2., 4.)]
        assert found == pytest.approx([0, 1, 1, 1]), name
        assert metrics.get_label_tp(name, 'trans_err') == pytest.approx(.5)
        for kind in ('scale_err', 'orient_err', 'vel_err', 'attr_err'):
            assert metrics.get_label_tp(name, kind) == pytest.approx(
                0, abs=1e-6), (name, kind)
    moved, _ = evaluate(mini, 'mini_val', tmp_path, (3., 4.))
    assert moved.mean_ap < .1


def test_points_in_boxes_as_the_devkit_counts(mini, test_split):
    from nuscenes.utils.data_classes import LidarPointCloud
    from nuscenes.utils.geometry_utils import points_in_box
    counts = []
    for nusc in (mini, test_split):
        for sample in nusc.sample:
            path, boxes, _ = nusc.get_sample_data(sample['data']['LIDAR_TOP'])
            points = LidarPointCloud.from_file(path).points[:3]
            for box in boxes:
                row = nusc.get('sample_annotation', box.token)
                found = int(points_in_box(box, points).sum())
                assert row['num_lidar_pts'] == found
                counts.append(found)
    assert max(counts) > 50 and np.mean(np.array(counts) > 0) > .5


def test_tracks(mini, test_split):
    owners = defaultdict(set)
    speeds = []
    for nusc in (mini, test_split):
        for row in nusc.sample_annotation:
            scene = nusc.get('sample', row['sample_token'])['scene_token']
            owners[row['instance_token']].add(scene)
            if row['next']:
                after = nusc.get('sample_annotation', row['next'])
                assert after['prev'] == row['token']
                assert after['instance_token'] == row['instance_token']
                assert after['size'] == row['size']
                here = nusc.get('sample', row['sample_token'])
                assert after['sample_token'] == here['next']
            names = [
                nusc.get('attribute', x)['name']
                for x in row['attribute_tokens']
            ]
            velocity = nusc.box_velocity(row['token'])
            if row['prev'] and row['next'] and names:
                speed = np.hypot(*velocity[:2])
                speeds.append(speed)
                if names[0] in ('vehicle.parked', 'cycle.without_rider'):
                    assert speed == pytest.approx(0)
                if names[0] == 'vehicle.moving':
                    assert speed > .1
        for instance in nusc.instance:
            token, seen = instance['first_annotation_token'], 0
            while token:
                row = nusc.get('sample_annotation', token)
                token, seen = row['next'], seen + 1
            assert row['token'] == instance['last_annotation_token']
            assert seen == instance['nbr_annotations']
    assert all(len(x) == 1 for x in owners.values())
    assert max(speeds) > 2


def test_points_fall_on_masks_and_depth_maps(mini):
    """Of the first scene, against pictures of instances and depth."""
    from nuscenes.utils.data_classes import LidarPointCloud
    size = NuScenesSize(1, 1, 1, 3, 1, 192, 336, 240)
    _, world, _ = nuscenes_world(size, SEED, 'train', 0)
    renderer = Renderer(world, 1)
    rig = nuscenes_rig(192, 336, 240)
    lidar = rig.lidar
    sample = mini.get('sample', mini.scene[0]['first_sample_token'])
    path = mini.get_sample_data_path(sample['data']['LIDAR_TOP'])
    points = LidarPointCloud.from_file(path).points[:3].T
    # The noiseless scan tells which object a point should be on.
    clean = type(lidar)(
        lidar.elevations,
        240,
        lidar.position,
        lidar.yaw,
        range_noise=0.,
        drop_out=0.)
    renderer.geometry.set_time(0.)
    sweep = clean.scan(renderer.geometry, 0., np.random.default_rng(0))
    gap, near = cKDTree(sweep.points).query(points)
    assert np.quantile(gap, .98) < .1
    rotation, origin = renderer.ego_pose(0.)
    ego = points @ lidar.rotation.T + np.asarray(lidar.position)
    right, depths = [], []
    for camera in rig.cameras.values():
        turned = rotation @ camera.rotation
        start = origin + rotation @ np.asarray(camera.position)
        rays = camera.rays(1).reshape(-1, 3)
        hits = renderer.geometry.cast(start, rays @ turned.T)
        instance = hits.instance.reshape(192, 336)
        depth = hits.distance.reshape(192, 336)
        local = (ego - camera.position) @ camera.rotation
        local, track = local[local[:,
                                   2] > 1], sweep.instance[near][local[:,
                                                                       2] > 1]
        pixels = project(local, camera.intrinsics)
        u, v = np.rint(pixels[:, :2]).astype(int).T
        inside = (u >= 2) & (v >= 2) & (u < 334) & (v < 190)
        u, v, track, local = u[inside], v[inside], track[inside], local[inside]
        # Away from borders: one object, and one surface, all around.
        low = cv2.erode(depth, np.ones((5, 5)))[v, u]
        high = cv2.dilate(depth, np.ones((5, 5)))[v, u]
        edge = cv2.morphologyEx(
            instance.astype(np.float32), cv2.MORPH_GRADIENT, np.ones(
                (5, 5)))[v, u]
        # Behind the first surface: seen by the LiDAR from higher up.
        open_sight = (edge == 0) & (high - low < .2) & (
            local[:, 2] < high + .3)
        right.append(instance[v, u][open_sight] == track[open_sight])
        depths.append((depth[v, u] - local[:, 2])[open_sight])
    right, depths = np.concatenate(right), np.concatenate(depths)
    assert len(right) > 500
    assert right.mean() >= .99
    assert abs(np.median(depths)) < .03
    assert np.quantile(np.abs(depths), .95) < .2


def test_same_bytes_with_two_workers(scenes, tmp_path, monkeypatch):
    root = str(tmp_path / 'again')
    monkeypatch.setattr('multiprocessing.get_context', lambda kind: SERVER)
    make(root, 2)

    def digests(folder):
        return {
            osp.relpath(osp.join(base, name), folder):
            hashlib.sha256(open(osp.join(base, name),
                                'rb').read()).hexdigest()
            for base, _, names in os.walk(folder)
            for name in names if '_infos_' not in name
        }

    assert digests(root) == digests(scenes)
    assert problems(root) == []


@pytest.fixture(scope='module')
def infos(scenes):
    pytest.importorskip('mmdet3d')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('driving_scenes.infos.subprocess.run', run)
        return make_nuscenes_infos(osp.join(scenes, 'nuscenes'), max_sweeps=2)


def dataset(scenes, name, version):
    from mmdet3d.datasets import NuScenesDataset
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        return NuScenesDataset(
            data_root=osp.join(scenes, 'nuscenes'),
            ann_file=f'nuscenes_infos_{name}.pkl',
            metainfo=dict(version=version),
            data_prefix=dict(
                pts='samples/LIDAR_TOP',
                sweeps='sweeps/LIDAR_TOP',
                img='',
                **{x: f'samples/{x}'
                   for x in nuscenes_rig(9, 16, 9).cameras}),
            modality=dict(use_lidar=True, use_camera=True),
            pipeline=[
                dict(
                    type='LoadPointsFromFile',
                    coord_type='LIDAR',
                    load_dim=5,
                    use_dim=5),
                dict(type='LoadPointsFromMultiSweeps', sweeps_num=1),
                dict(
                    type='LoadAnnotations3D',
                    with_bbox_3d=True,
                    with_label_3d=True),
                dict(
                    type='Pack3DDetInputs',
                    keys=['points', 'gt_bboxes_3d', 'gt_labels_3d'])
            ])


def test_mmdet3d_reads_the_index_files(scenes, infos, mini):
    from mmdet3d.structures.ops.box_np_ops import points_in_rbbox
    assert [osp.basename(x)
            for x in infos] == [f'nuscenes_infos_{x}.pkl' for x in SPLITS]
    for split in SPLITS:
        found = dataset(scenes, split, 'v1.0-mini')
        assert len(found) == 3
        info = found.get_data_info(1)
        assert all(osp.isfile(x['img_path']) for x in info['images'].values())
        assert len(info['ann_info']['gt_bboxes_3d']) > 3
        item = found[1]
        assert len(item['inputs']['points']) > 3000
        assert len(item['data_samples'].gt_instances_3d) > 3
    # Samples are those of the tables, boxes where the points are.
    info = dataset(scenes, 'train', 'v1.0-mini').get_data_info(1)
    assert info['token'] == mini.sample[1]['token']
    points = np.fromfile(info['lidar_points']['lidar_path'],
                         np.float32).reshape(-1, 5)
    boxes = info['ann_info']['gt_bboxes_3d'].tensor[:, :7].numpy()
    hit = points_in_rbbox(points, boxes).sum(0)
    counted = [x['num_lidar_pts'] for x in info['instances']]
    kept = np.array([x for x in counted if x > 0])
    assert abs(hit - kept).sum() < .05 * kept.sum()
    assert problems(scenes) == []


@pytest.mark.parametrize('split, root, version',
                         [('val', 'nuscenes', 'v1.0-mini'),
                          ('test', 'nuscenes/test_as_val', 'v1.0-trainval')])
def test_mmdet3d_metric_runs(scenes, infos, split, root, version):
    from mmdet3d.evaluation import NuScenesMetric
    from mmdet3d.structures import LiDARInstance3DBoxes
    data = dataset(scenes, split, version)
    metric = NuScenesMetric(
        osp.join(scenes, root),
        osp.join(scenes, 'nuscenes', f'nuscenes_infos_{split}.pkl'))
    metric.dataset_meta = data.metainfo
    for index in range(len(data)):
        truth = data.get_data_info(index)['ann_info']
        keep = truth['gt_labels_3d'] >= 0
        boxes = truth['gt_bboxes_3d'].tensor[torch.as_tensor(keep)]
        found = dict(
            bboxes_3d=LiDARInstance3DBoxes(boxes, box_dim=9),
            labels_3d=torch.as_tensor(truth['gt_labels_3d'][keep]),
            scores_3d=torch.ones(len(boxes)))
        metric.process({}, [
            dict(pred_instances_3d=found, pred_instances={}, sample_idx=index)
        ])
    with contextlib.redirect_stdout(io.StringIO()):
        scores = metric.evaluate(len(data))
    prefix = 'NuScenes metric/pred_instances_3d_NuScenes'
    cars = [scores[f'{prefix}/car_AP_dist_{x}'] for x in (.5, 1., 2., 4.)]
    assert cars == pytest.approx([1] * 4, abs=.01)
    if split == 'val':
        assert scores[f'{prefix}/mAP'] == pytest.approx(1, abs=.01)


def test_infos_are_made_once(scenes, infos):
    before = [os.stat(path).st_mtime_ns for path in infos]
    assert make_nuscenes_infos(osp.join(scenes, 'nuscenes'), 2) == infos
    assert [os.stat(path).st_mtime_ns for path in infos] == before


def test_infos_need_nuscenes(tmp_path):
    with pytest.raises(ScenesError, match='neither v1.0-mini'):
        make_nuscenes_infos(str(tmp_path))


def test_categories_and_attributes():
    still = Motion.standing(0, 0, 0)
    away = Motion(
        np.array([0., 10.]), np.array([[0, 0, 0], [20., 0, 0]]), np.zeros(2))

    def thing(category, motion, attribute=''):
        return SceneObject(1, category, (1, 1, 1), motion, attribute=attribute)

    assert nuscenes_category(thing('vehicle.caravan', still)) == \
        'vehicle.trailer'
    assert nuscenes_category(thing('vehicle.train', still)) is None
    for category, motion, given, wanted in (
        ('vehicle.car', away, 'vehicle.moving', 'vehicle.moving'),
        ('vehicle.car', still, 'vehicle.moving', 'vehicle.stopped'),
        ('vehicle.car', still, 'vehicle.parked',
         'vehicle.parked'), ('vehicle.bicycle', still, 'cycle.without_rider',
                             'cycle.without_rider'),
        ('human.pedestrian.adult', still, 'pedestrian.moving',
         'pedestrian.standing'), ('movable_object.barrier', still, '', '')):
        assert nuscenes_attribute(thing(category, motion, given), 5.) == wanted


def test_projection_by_hand():
    matrix = np.array([[100., 0, 50], [0, 100, 25], [0, 0, 1]])
    found = project(np.array([[1., .5, 2.], [0, 0, 4.]]), matrix)
    assert found == pytest.approx(np.array([[100., 50, 2], [50, 25, 4]]))
    moved = np.concatenate([matrix, [[10.], [0], [0]]], 1)
    assert project(np.array([[1., .5, 2.]]),
                   moved)[0] == pytest.approx([105, 50, 2])
    corners = box_corners((1., 2., 3.), (4., 2., 1.), np.pi / 2)
    # Facing +y, the front right corner of the bottom is at +x.
    assert sorted(map(tuple, corners[:2].round(6).tolist())) == [(0., 4., 2.5),
                                                                 (2., 4., 2.5)]
    assert corners[4:, 2] == pytest.approx(3.5)


def test_frames_are_drawn(scenes, tmp_path, capsys):
    frames = open_frames(
        osp.join(scenes, 'nuscenes'), color_table(), 'v1.0-mini')
    assert isinstance(frames, NuScenesFrames) and len(frames) == 6
    with pytest.raises(ConfigError, match='no version'):
        open_frames(osp.join(scenes, 'nuscenes'), color_table(), 'v1.0-huge')
    arguments = [
        'browse',
        osp.join(scenes, 'nuscenes'), '--part', 'v1.0-mini', '--out',
        str(tmp_path), '--frames'
    ]
    cli.call([*arguments, '1'])
    picture = cv2.imread(capsys.readouterr().out.split()[-1])
    with pytest.raises(ConfigError, match='frames 0 to 5, not 9'):
        cli.call([*arguments, '9'])
    assert picture.shape[1] > 1000 and picture.std() > 20
    # Six pictures and boxes in the colour of cars (BGR 0, 176, 255).
    cars = (np.abs(picture.astype(int) - (0, 176, 255)).sum(2) < 40).sum()
    assert cars > 50
