"""The driving scenes as KITTI: geometry, labels, files, mmdet3d's infos."""
import itertools
import json
import os
import os.path as osp
import pickle

import cv2
import numpy as np
import pytest

from driving_scenes.kitti import (KittiCar, KittiSize, kitti_class,
                                  make_kitti_frames)
from driving_scenes.labels import LABEL_IDS
from driving_scenes.materials import Mat
from driving_scenes.meshes import MeshBuilder
from driving_scenes.sensors import Renderer, kitti_rig
from driving_scenes.sensors.camera import Exposure
from driving_scenes.world import Motion, SceneObject, World, random_conditions
from driving_scenes.writers.files import read_json
from driving_scenes.writers.kitti import (KittiFrame, KittiObject, KittiWriter,
                                          frame_info)

# The first two of the frames, half a second apart, are looked at.
SIZE = KittiSize(1, 1, 1, 20, height=96, width=312, azimuth_steps=720)


def first_frames(split):
    return list(itertools.islice(make_kitti_frames(SIZE, 11, split, 0), 2))


@pytest.fixture(scope='module')
def frames():
    """Frames of one scene of each split."""
    return {split: first_frames(split) for split in ('train', 'val', 'test')}


@pytest.fixture(scope='module')
def root(frames, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp('scenes') / 'kitti')
    write(frames, folder)
    return folder


def write(frames, folder):
    writer = KittiWriter(folder)
    for found in frames.values():
        for frame in found:
            writer.write(frame)
    writer.finish({
        split: [writer.record(frame) for frame in found]
        for split, found in frames.items()
    })


def thing(track_id,
          x,
          y,
          yaw=0.,
          size=(4., 2., 1.5),
          category='vehicle.car',
          attribute='vehicle.parked'):
    """A block that stands on the ground."""
    builder = MeshBuilder(LABEL_IDS['car'])
    builder.box((0, 0, size[2] / 2),
                size,
                material=Mat.SIGN,
                color=(.5, .5, .5))
    return SceneObject(
        track_id,
        category,
        size,
        Motion.standing(x, y, yaw),
        builder.build(),
        attribute=attribute)


def view(*objects):
    """Labels, sweep and instance map of blocks on a plane at time 0."""
    ground = MeshBuilder(LABEL_IDS['road'])
    ground.quad([(-90, -90, 0), (90, -90, 0), (90, 90, 0), (-90, 90, 0)],
                material=Mat.ASPHALT,
                color=(.5, .5, .5))
    rng = np.random.default_rng(0)
    world = World('w', 'nowhere', ground.build(), list(objects),
                  Motion.standing(0., 0., 0.), random_conditions(rng, 'clear'),
                  10.)
    rig = kitti_rig(96, 312, 1440)
    car = KittiCar(world, rig)
    renderer = Renderer(world, 1)
    image, _, instance, _ = renderer.render(car.camera, 0., Exposure(), rng)
    sweep = rig.lidar.scan(renderer.geometry, 0., rng)
    labels = car.labels(0., instance)
    points = np.concatenate([sweep.points, sweep.reflectance[:, None]], 1)
    frame = KittiFrame('train', 0, 0, 0., image, points, car.calibration(),
                       np.eye(4), labels, car.plane())
    return labels, frame, sweep, instance


def test_label_of_a_car_in_front():
    """The camera is 1.03 m in front of and 1.65 m above the axle; camera 0
    lies 0.06 m to its right."""
    (label, ), frame, _, _ = view(thing(7, 21.03, 3.))
    assert (label.name, label.track_id, label.occluded) == ('Car', 7, 0)
    assert label.dimensions == (1.5, 2., 4.)
    assert label.location == (-3.06, 1.65, 20.)
    assert label.rotation_y == -1.57  # as the car itself
    assert label.alpha == pytest.approx(
        -np.pi / 2 + np.arctan2(3.06, 20.), abs=.006)
    assert label.truncated == 0
    focal = frame.calibration['P2'][0, 0]
    assert focal == pytest.approx(156 / np.tan(np.radians(81.4 / 2)))
    # The rear at 18 m and, left, the front at 22 m.
    assert label.bbox == pytest.approx(
        (155.5 - focal * 4 / 18, 47.5 + focal * .15 / 22,
         155.5 - focal * 2 / 22, 47.5 + focal * 1.65 / 18),
        abs=.02)


def test_headings():
    yaws = dict(enumerate([0., np.pi / 2, -np.pi / 2, np.pi / 4, 3.], 1))
    labels = view(*(thing(i, 20., 6. * i - 18, yaw)
                    for i, yaw in yaws.items()))[0]
    assert len(labels) == 5
    for label in labels:
        expected = -yaws[label.track_id] - np.pi / 2
        turned = label.rotation_y - expected + np.pi
        assert abs(turned % (2 * np.pi) - np.pi) < .006
        assert -3.15 < label.rotation_y < 3.15


@pytest.mark.parametrize('side, occluded', [(6., 0), (1.4, 1), (.6, 2)])
def test_occlusion(side, occluded):
    """A wide block stands in front of parts of a car."""
    labels = view(
        thing(1, 20., 0., np.pi / 2, (4., 2., 1.5)),
        thing(2, 12., side, 0., (1., 2., 3.), 'vehicle.truck'))[0]
    found = {label.track_id: label for label in labels}
    assert found[1].occluded == occluded
    assert found[2].occluded == 0


def test_hidden_far_and_unknown_objects():
    labels = view(
        thing(1, 30., 0., 0., (4., 1.5, 1.5)),  # wholly hidden
        thing(2, 12., 0., 0., (4., 4., 3.), 'vehicle.truck'),
        thing(3, 80., 30., 0., (4., 2., 1.7)),  # far away
        thing(4, 12., 8., 0., (.4, .4, .7), 'movable_object.trafficcone'),
        thing(
            5,
            12.,
            -6.,
            0., (1.7, .6, 1.),
            'vehicle.bicycle',
            attribute='cycle.without_rider'))[0]
    assert [(x.name, x.track_id) for x in labels] == [('Truck', 2),
                                                      ('DontCare', -1)]
    assert labels[1].line().split()[1:4] == ['-1.00', '-1', '-10.00']
    assert labels[1].line().split(
    )[8:] == ['-1.00'] * 3 + ['-1000.00'] * 3 + ['-10.00']


def test_truncation():
    (cut, ), _, _, _ = view(thing(1, 9.03, 7.))
    # The border is 40.7 degrees to the left: 8 m from the camera at 6.9 m.
    assert .3 < cut.truncated < .7
    assert cut.bbox[0] == 0 and cut.bbox[2] > 20
    (whole, ), _, _, _ = view(thing(1, 16., 5.))
    assert whole.truncated == 0
    (beside, ), _, _, _ = view(thing(1, 2.5, 3.))
    assert beside.truncated > .6 and beside.bbox[0] == 0


@pytest.mark.parametrize('category, size, attribute, name', [
    ('vehicle.car', (4.5, 1.8, 1.5), '', 'Car'),
    ('vehicle.car', (5.3, 2., 2.2), '', 'Van'),
    ('vehicle.truck', (8, 2.5, 3.), '', 'Truck'),
    ('vehicle.train', (20, 2.5, 3.), '', 'Tram'),
    ('vehicle.bus.rigid', (12, 2.5, 3.), '', 'Misc'),
    ('human.pedestrian.child', (.5, .5, 1.2), '', 'Pedestrian'),
    ('vehicle.bicycle', (1.7, .6, 1.7), 'cycle.with_rider', 'Cyclist'),
    ('vehicle.motorcycle', (2., .7, 1.7), 'cycle.with_rider', 'Misc'),
    ('vehicle.bicycle', (1.7, .6, 1.), 'cycle.without_rider', None),
    ('movable_object.barrier', (2, .5, 1.), '', None),
])
def test_classes(category, size, attribute, name):
    assert kitti_class(thing(1, 0, 0, 0, size, category, attribute)) == name


def test_points_lie_in_their_boxes_and_on_their_pixels():
    labels, frame, sweep, instance = view(
        thing(1, 14., 2., .4), thing(2, 24., -3., 1.2),
        thing(3, 10., -3., 0., (.8, .6, 1.8), 'human.pedestrian.adult'))
    assert {label.track_id for label in labels} == {1, 2, 3}
    in_rect = sweep.points @ frame.velo_to_rect[:3, :3].T + \
        frame.velo_to_rect[:3, 3]
    pixels = in_rect @ frame.calibration['P2'][:, :3].T + \
        frame.calibration['P2'][:, 3]
    columns, rows = np.rint(pixels[:, :2] / pixels[:, 2:]).astype(int).T
    for label in labels:
        of_thing = sweep.instance == label.track_id
        assert of_thing.sum() > 40
        grown = KittiObject(
            label.name,
            label.bbox,
            dimensions=tuple(x + .16 for x in label.dimensions),
            location=(label.location[0], label.location[1] + .08,
                      label.location[2]),
            rotation_y=label.rotation_y)
        assert grown.contains(in_rect[of_thing]).mean() > .99
        # Nothing of the other objects is in the box.
        others = (sweep.instance > 0) & ~of_thing
        assert not label.contains(in_rect[others]).any()
        # Within the mask, away from its border.
        mask = (instance == label.track_id).astype(np.uint8)
        near = cv2.dilate(mask, np.ones((3, 3)))
        assert near[rows[of_thing], columns[of_thing]].mean() > .99
        x1, y1, x2, y2 = cv2.boundingRect(mask)
        assert label.bbox == pytest.approx((x1, y1, x1 + x2 - 1, y1 + y2 - 1),
                                           abs=1.01)


def test_ground_lies_in_its_plane():
    _, frame, sweep, _ = view()
    in_rect = sweep.points @ frame.velo_to_rect[:3, :3].T + \
        frame.velo_to_rect[:3, 3]
    height = in_rect @ frame.plane[:3] + frame.plane[3]
    assert frame.plane == pytest.approx([0, -1, 0, 1.65], abs=1e-9)
    assert np.abs(height).max() < .1


def read_labels(root, folder, name):
    with open(osp.join(root, folder, 'label_2', f'{name}.txt')) as file:
        return [line.split() for line in file]


def test_files(root, frames):
    names = {}
    for split in ('train', 'val', 'trainval', 'test'):
        with open(osp.join(root, 'ImageSets', f'{split}.txt')) as file:
            names[split] = file.read().split()
    assert names == dict(
        train=['000000', '000001'],
        val=['000020', '000021'],
        trainval=['000000', '000001', '000020', '000021'],
        test=['000000', '000001'])
    for split, folder in (('train', 'training'), ('val', 'training'),
                          ('test', 'testing')):
        for frame in frames[split]:
            part = osp.join(root, folder)
            image = cv2.imread(osp.join(part, f'image_2/{frame.name}.png'))
            assert image.shape == (96, 312, 3)
            cloud = np.fromfile(
                osp.join(part, f'velodyne/{frame.name}.bin'),
                np.float32).reshape(-1, 4)
            assert len(cloud) > 10000
            assert 0 <= cloud[:, 3].min() and cloud[:, 3].max() <= 1
            with open(osp.join(part, f'calib/{frame.name}.txt')) as file:
                lines = [line.split() for line in file if line.strip()]
            assert [line[0] for line in lines] == [
                'P0:', 'P1:', 'P2:', 'P3:', 'R0_rect:', 'Tr_velo_to_cam:',
                'Tr_imu_to_velo:'
            ]
            assert [len(line) for line in lines] == [13] * 4 + [10, 13, 13]
            labels = read_labels(root, folder, frame.name)
            assert labels and all(len(line) == 15 for line in labels)
            region = [line[0] == 'DontCare' for line in labels]
            assert region == sorted(region)


def test_reduced_points_are_those_in_the_picture(root, frames):
    for frame in frames['train']:
        cloud, reduced = (
            np.fromfile(
                osp.join(root, 'training', kind, f'{frame.name}.bin'),
                np.float32).reshape(-1, 4)
            for kind in ('velodyne', 'velodyne_reduced'))
        assert .1 < len(reduced) / len(cloud) < .35
        rect = reduced[:, :3] @ frame.velo_to_rect[:3, :3].T + \
            frame.velo_to_rect[:3, 3]
        pixels = rect @ frame.calibration['P2'][:, :3].T + \
            frame.calibration['P2'][:, 3]
        pixels = pixels[:, :2] / pixels[:, 2:]
        assert (pixels >= 0).all() and (pixels <= [312, 96]).all()


def test_sequences_keep_tracks(root):
    tracks = []
    for split in ('train', 'val', 'test'):
        (sequence, ) = read_json(f'{root}/sequences/{split}.json')
        sizes, seen = {}, []
        for frame in sequence['frames']:
            labels = read_labels(root, sequence['folder'], frame['frame'])
            assert len(labels) == len(frame['track_ids'])
            for track, line in zip(frame['track_ids'], labels):
                assert (track == -1) == (line[0] == 'DontCare')
                if track != -1:
                    kept = sizes.setdefault(track, (line[0], line[8:11]))
                    assert kept == (line[0], line[8:11])
            seen.append({x for x in frame['track_ids'] if x != -1})
        assert len(set.intersection(*seen)) > 2
        assert [x['time'] for x in sequence['frames']] == [.25, .75]
        tracks.append(set().union(*seen))
    assert not set.intersection(*tracks[:2]) and not set.intersection(
        *tracks[1:])


def test_poses_hold_standing_objects_in_place(root, frames):
    """In the world a parked car is where it was."""
    places = {}
    for frame in frames['train']:
        to_world = frame.pose @ np.linalg.inv(frame.velo_to_rect)
        for label in frame.objects:
            if label.name != 'DontCare':
                place = to_world[:3, :3] @ label.location + to_world[:3, 3]
                places.setdefault(label.track_id, []).append(place)
    moved = np.array([
        np.abs(np.diff(found, axis=0)).max() for found in places.values()
        if len(found) == 2
    ])
    assert (moved < .02).sum() >= 2


def test_same_seed_same_bytes(root, frames, tmp_path):
    again = dict(frames, val=first_frames('val'))
    write(again, str(tmp_path))
    for base, _, files in os.walk(root):
        for name in files:
            path = osp.join(base, name)
            with open(path, 'rb') as file, open(
                    osp.join(tmp_path, osp.relpath(path, root)),
                    'rb') as other:
                assert file.read() == other.read(), path


def test_mmdet3d_reads_the_infos(root, frames):
    pytest.importorskip('mmdet3d')
    import torch
    from mmcv.ops import points_in_boxes_cpu
    from mmdet3d.datasets import KittiDataset
    classes = ['Pedestrian', 'Cyclist', 'Car']
    for split, folder in (('train', 'training'), ('test', 'testing')):
        dataset = KittiDataset(
            root,
            f'kitti_infos_{split}.pkl',
            data_prefix=dict(
                pts=f'{folder}/velodyne_reduced', img=f'{folder}/image_2'),
            metainfo=dict(classes=classes),
            modality=dict(use_lidar=True, use_camera=True),
            filter_empty_gt=False)
        assert len(dataset) == len(frames[split])
        for i, frame in enumerate(frames[split]):
            info = dataset.get_data_info(i)
            assert osp.isfile(info['images']['CAM2']['img_path'])
            cloud = np.fromfile(info['lidar_points']['lidar_path'],
                                np.float32).reshape(-1, 4)
            boxes = info['ann_info']['gt_bboxes_3d']
            kept = [x for x in frame.objects if x.name in classes]
            assert len(boxes) == len(kept)
            inside = points_in_boxes_cpu(
                torch.tensor(cloud[None, :, :3]), boxes.tensor[None])[0].sum(0)
            counts = [
                instance['num_lidar_pts'] for instance, thing in zip(
                    frame_info(frame)['instances'], frame.objects)
                if thing in kept
            ]
            np.testing.assert_allclose(inside, counts, atol=2)
            labels = info['ann_info']['gt_labels_3d'].tolist()
            assert [classes[x] for x in labels] == [x.name for x in kept]


def test_truth_is_found_by_the_metric(root, frames):
    pytest.importorskip('mmdet3d')
    import torch
    from mmdet3d.datasets import KittiDataset

    from mmkd.registry import METRICS
    classes = ['Pedestrian', 'Cyclist', 'Car']
    dataset = KittiDataset(
        root,
        'kitti_infos_test.pkl',
        data_prefix=dict(pts='', img=''),
        metainfo=dict(classes=classes),
        filter_empty_gt=False)
    metric = METRICS.build(
        dict(
            type='mmkd.KittiMetric',
            ann_file=osp.join(root, 'kitti_infos_test.pkl'),
            pcd_limit_range=[-100, -100, -10, 100, 100, 10]))
    metric.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        truth = dataset.get_data_info(i)['ann_info']
        kept = truth['gt_labels_3d'] >= 0
        metric.process({}, [
            dict(
                sample_idx=i,
                pred_instances=dict(),
                pred_instances_3d=dict(
                    bboxes_3d=truth['gt_bboxes_3d'][kept],
                    labels_3d=torch.tensor(truth['gt_labels_3d'][kept]),
                    scores_3d=torch.ones(int(kept.sum()))))
        ])
    scores = metric.evaluate(len(dataset))
    counts = sum(x.name == 'Car' and 0 <= x.difficulty <= 2
                 for frame in frames['test'] for x in frame.objects)
    assert 0 < counts < 41
    key = 'Kitti metric/pred_instances_3d/KITTI/Car_3D_AP40_hard_strict'
    # All are found; AP40 leaves out the first of the recalls.
    assert scores[key] == pytest.approx(100 * (counts - 1) / 40, abs=1e-3)


def test_infos_are_plain(root):
    with open(osp.join(root, 'kitti_infos_trainval.pkl'), 'rb') as file:
        found = pickle.load(file)
    assert len(found['data_list']) == 4
    assert json.loads(json.dumps(found)) == found
