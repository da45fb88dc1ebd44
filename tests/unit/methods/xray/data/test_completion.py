"""Objects of a scene: gathered, thinned, placed, kept in files."""
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from mmkd.errors import ConfigError
from mmkd.methods.xray.data import build
from mmkd.methods.xray.data.boxes import (box_of_pose, points_in_box,
                                          points_in_boxes, pose_of_box,
                                          transform, upright_box, yaw_of_box)
from mmkd.methods.xray.data.completion import (PUBLISHED, CompleteObjects,
                                               CompletionOptions,
                                               complete_scene, input_hash,
                                               thin)
from mmkd.methods.xray.data.infos import (add_identities, group_by_scene,
                                          load_infos, save_infos, scene_frame)
from mmkd.methods.xray.data.registration import ALIGNED, TOO_FEW, register
from mmkd.testing.sequences import make_sequence, write_sequences
from mmkd.utils.files import write_json

EVERYTHING = CompletionOptions(**PUBLISHED)


def frames_of(sequence):
    return [scene_frame(info, '') for info in sequence.infos]


def complete(sequence, options=CompletionOptions(), scene='scene'):
    clouds = {
        info['lidar_points']['lidar_path']: cloud
        for info, cloud in zip(sequence.infos, sequence.clouds)
    }
    return complete_scene(scene, frames_of(sequence), options, {
        0: 'car',
        1: 'truck',
        7: 'pedestrian'
    }, lambda path, columns: clouds[path])


# ------------------------------------------------------------------- boxes


@pytest.mark.parametrize('offset', [0., 2000.])
def test_round_trip(offset):
    rng = np.random.default_rng(0)
    points = rng.uniform(-100, 100, (2000, 3)).astype(np.float32)
    sensor = pose_of_box(upright_box((offset, -offset, 2), (1, 1, 1), .7))
    for yaw in rng.uniform(-np.pi, np.pi, 5):
        # In the world, and from there to the sensor, composed in float64.
        world = sensor @ pose_of_box(upright_box((20, 9, -1), (4, 2, 2), yaw))
        pose = np.linalg.inv(sensor) @ world
        local = transform(points, np.linalg.inv(pose)).astype(np.float32)
        back = transform(local, pose).astype(np.float32)
        assert np.abs(back - points).max() <= 2e-5


def test_numbers_of_a_box():
    box = upright_box((1, 2, 3), (4, 2, 1.5), 2.5)
    assert np.allclose(box_of_pose(pose_of_box(box), box[3:6]), box)
    assert yaw_of_box(box) == pytest.approx(2.5)


def test_points_in_a_box_by_hand():
    box = upright_box((10, 0, 0), (4, 2, 2), np.pi / 2)  # along y
    points = np.array([[10, 2, 0], [10, 2.01, 0], [11, 0, 0], [11.05, 0, 0],
                       [10, 0, -1], [10, 0, 1.2]])
    assert points_in_box(points, box, 0.).tolist() == [0, 2, 4]
    assert points_in_box(points, box, .06).tolist() == [0, 1, 2, 3, 4]
    improper = np.stack([box, box])
    improper[0, 3], improper[1, 0] = 0, np.nan
    assert [len(x) for x in points_in_boxes(points, improper)] == [0, 0]


# -------------------------------------------------------------- gathering


@pytest.mark.parametrize('moving', [False, True])
def test_union_of_views(moving):
    sequence = make_sequence(moving=moving, offset=1500.)
    objects = complete(sequence, EVERYTHING)
    assert len(objects) == 6
    for i, surface in enumerate(sequence.surfaces):
        stored = objects.points[objects.inst_ptr[i]:objects.inst_ptr[i + 1]]
        seen = sum((source == i).sum() for source in sequence.sources)
        assert len(stored) == seen
        # Every point lies where the surface has one; a wrong sign of the
        # heading would not pass.
        distance = np.linalg.norm(
            stored[:, None, :3] - surface[None], axis=2).min(1)
        assert distance.max() < 1e-4


def test_columns_ride_along():
    sequence = make_sequence()
    objects = complete(sequence, EVERYTHING)
    assert objects.points.shape[1] == sequence.clouds[0].shape[1]
    for i in range(len(objects)):
        stored = objects.points[objects.inst_ptr[i]:objects.inst_ptr[i + 1], 3]
        own = np.concatenate([
            cloud[source == i, 3]
            for cloud, source in zip(sequence.clouds, sequence.sources)
        ])
        assert np.array_equal(np.sort(stored), np.sort(own))


def test_placed_points_are_those_of_other_frames_in_the_box():
    sequence = make_sequence()
    objects = complete(sequence, EVERYTHING)
    for number, info in enumerate(sequence.infos):
        for i, instance in enumerate(info['instances']):
            box = np.array(instance['box_lidar'])
            others = objects.place(i, number, box)
            all_of_it = objects.place(i, number, box, own=True)
            own = (sequence.sources[number] == i).sum()
            assert len(all_of_it) == len(others) + own
            assert len(points_in_box(others, box, 1e-4)) == len(others)
            near = objects.place(i, number, box, window=1)
            assert len(near) <= len(others)
    assert len(objects.place(0, 0, box, keep_margin=-10)) == 0


def test_scaled_to_the_size_of_the_box():
    sequence = make_sequence(objects=1)
    objects = complete(sequence, EVERYTHING)
    box = np.array(sequence.infos[0]['instances'][0]['box_lidar'])
    twice = box.copy()
    twice[3:6] *= 2
    plain = objects.place(0, 0, box)
    scaled = objects.place(0, 0, twice, size_mode='scale')
    center = box[:3]
    assert np.allclose(
        scaled[:, :3] - center, 2 * (plain[:, :3] - center), atol=1e-4)


def test_number_of_points_is_bounded():
    sequence = make_sequence(density=4.)
    everything = complete(sequence, EVERYTHING)
    options = CompletionOptions(voxel=.05, max_points=500)
    objects = complete(sequence, options)
    assert everything.counts().max() > 500
    assert objects.counts().max() == 500
    thinned = complete(sequence, replace(options, max_points=0))
    for i in range(len(thinned)):
        points = thinned.points[thinned.inst_ptr[i]:thinned.inst_ptr[i + 1]]
        cells = np.floor(points[:, :3].astype(float) / .05)
        assert len(np.unique(cells, axis=0)) == len(points)


def test_thinning_by_hand():
    points = np.array([[.1, .5, .5], [.4, .5, .5], [.6, .5, .5], [1.5, .5, .5],
                       [-.1, .5, .5]])
    views = np.array([0, 1, 0, 0, 0])
    # 0.4 and 0.6 are equally near to the middle; the first view wins.
    assert thin(points, views, 1.).tolist() == [2, 3, 4]
    rng = np.random.default_rng(0)
    many = rng.uniform(-1, 1, (500, 3))
    kept = thin(many, np.zeros(500, int), .2)
    again = thin(many[kept], np.zeros(len(kept), int), .2)
    assert np.array_equal(again, np.arange(len(kept)))
    assert len(thin(many[:0], views[:0], .2)) == 0


def test_one_view_is_left_alone():
    sequence = make_sequence(frames=1)
    assert len(complete(sequence)) == 0
    objects = complete(sequence, EVERYTHING)
    box = np.array(sequence.infos[0]['instances'][0]['box_lidar'])
    assert len(objects.place(0, 0, box)) == 0


def test_order_of_boxes_changes_nothing():
    sequence = make_sequence()
    # Two that overlap.
    for info in sequence.infos:
        first, second = info['instances'][:2]
        second['box_lidar'][:3] = first['box_lidar'][:3]
    first = complete(sequence)
    for number, info in enumerate(sequence.infos):
        rng = np.random.default_rng(number)
        rng.shuffle(info['instances'])
    second = complete(sequence)
    for name in ('points', 'view_id', 'inst_ptr', 'inst_id', 'align'):
        assert np.array_equal(getattr(first, name), getattr(second, name))


def test_ids_are_of_one_scene(tmp_path):
    one, other = (make_sequence(f's{i}', seed=i) for i in range(2))
    infos = write_sequences(str(tmp_path), dict(s0=one, s1=other))
    infos, report = build.complete(
        infos, str(tmp_path), 'points', options=EVERYTHING, progress=False)
    for sequence, scene in ((one, 's0'), (other, 's1')):
        path = build.scene_file(str(tmp_path), 'complete', scene)
        found = CompleteObjects.load(path)
        alone = complete(sequence, EVERYTHING, scene)
        assert np.array_equal(found.points, alone.points)
    assert report.counts['scenes'] == report.counts['new'] == 2


def test_an_id_twice_in_a_frame():
    sequence = make_sequence()
    sequence.infos[2]['instances'][1]['instance_id'] = 'object000'
    with pytest.raises(ConfigError, match='scene.*scene_002.*object000'):
        complete(sequence)


def test_improper_boxes_and_unknown_ids_are_skipped():
    sequence = make_sequence()
    sequence.infos[0]['instances'][0]['box_lidar'][4] = 0
    sequence.infos[1]['instances'][1]['box_lidar'][0] = float('nan')
    sequence.infos[0]['instances'][2]['instance_id'] = ''
    objects = complete(sequence, EVERYTHING)
    assert objects.own_count[0] == -1
    assert objects.own_index[2] == -1
    frames = [objects.view_frame[objects.view_inst == i] for i in range(3)]
    assert 0 not in frames[0] and 1 not in frames[1] and 0 not in frames[2]


def test_classes():
    sequence = make_sequence()
    sequence.infos[0]['instances'][0]['bbox_label_3d'] = -1
    cars = complete(sequence, CompletionOptions(classes=('car', )))
    assert set(cars.name.tolist()) == {'car'} and len(cars) == 2
    assert 0 not in cars.view_frame[cars.view_inst == 0]


def test_options_that_make_no_sense():
    for wrong in (dict(strategy='gedi'), dict(voxel=-1), dict(min_views=0)):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            CompletionOptions(**wrong)


# ----------------------------------------------------------- registration


def _car(rng, sides, count=400):
    """A car's outline with a bonnet, as seen from some sides."""
    size = np.array([4.4, 1.8, 1.5])
    points = rng.uniform(-.5, .5, (count, 3))
    side = rng.choice(sides, count)
    for number, (axis, sign) in enumerate(((0, 1), (1, 1), (0, -1), (1, -1))):
        points[side == number, axis] = sign * .5
    points *= size
    bonnet = (points[:, 0] > .8) & (points[:, 2] > .1)
    points[bonnet, 2] = .1
    return points + rng.normal(0, .02, points.shape)


def test_aligned_views_stay():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        motion, _ = register(_car(rng, [0, 1]), _car(rng, [0, 1]))
        assert np.array_equal(motion, np.eye(4))


def test_views_are_brought_together():
    errors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cloud, view = _car(rng, [0, 1, 2]), _car(rng, [0, 1, 2])
        wrong = pose_of_box(
            upright_box((.32, .32, 0), (1, 1, 1), np.radians(10)))
        motion, status = register(transform(view, wrong), cloud)
        found = transform(transform(view, wrong), motion)
        errors.append(np.linalg.norm(found - view, axis=1).mean())
        assert status == ALIGNED
    assert np.mean(errors) <= .1


def test_opposite_views_are_rejected():
    moved = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        motion, _ = register(_car(rng, [0, 1]), _car(rng, [2, 3]))
        moved += not np.array_equal(motion, np.eye(4))
    assert moved <= 3


def test_registration_never_raises():
    rng = np.random.default_rng(0)
    car = _car(rng, [0, 1])
    for view in (car[:0], car[:5], np.full(
        (40, 3), np.nan), car + 100, np.zeros((40, 3))):
        motion, status = register(view, car)
        assert np.array_equal(motion, np.eye(4)) and status >= TOO_FEW


def test_icp_undoes_wrong_boxes():
    sequence = make_sequence(objects=2, moving=False, background=0, density=3.)
    rng = np.random.default_rng(0)
    for info in sequence.infos[1:]:
        instance = info['instances'][1]  # the truck
        error = pose_of_box(
            upright_box((*rng.uniform(-.2, .2, 2), 0), (1, 1, 1),
                        rng.uniform(-.05, .05)))
        pose = pose_of_box(np.array(instance['box_lidar']))
        instance['box_lidar'] = box_of_pose(
            pose @ error, instance['box_lidar'][3:6]).tolist()

    def spread(strategy):
        objects = complete(
            sequence,
            CompletionOptions(
                strategy=strategy, voxel=0, max_points=0, extract_margin=.5))
        box = np.array(sequence.infos[0]['instances'][1]['box_lidar'])
        placed = transform(
            objects.place(1, 0, box, keep_margin=1)[:, :3],
            np.linalg.inv(pose_of_box(box)))
        return cKDTree(sequence.surfaces[1]).query(placed)[0].mean()

    assert spread('icp') < .6 * spread('concat')


# ------------------------------------------------------------------ files


def test_bytes_are_equal_for_a_seed(tmp_path):
    found = []
    for run in range(2):
        root = tmp_path / str(run)
        names = ['s0', 's1'] if run == 0 else ['s1', 's0']
        infos = write_sequences(
            str(root), {
                name: make_sequence(name, density=4., seed=int(name[1]))
                for name in names
            })
        build.complete(
            infos,
            str(root),
            'points',
            options=CompletionOptions(max_points=200),
            workers=1 + 3 * run,
            progress=False)
        found.append({
            name: [(key, value.tobytes()) for key, value in np.load(
                build.scene_file(str(root), 'complete', name)).items()
                   if key != 'hash']
            for name in sorted(names)
        })
        again = CompleteObjects.load(
            build.scene_file(str(root), 'complete', 's0'))
        again.save(str(tmp_path / 'again.npz'))
        with open(tmp_path / 'again.npz', 'rb') as copy, open(
                build.scene_file(str(root), 'complete', 's0'), 'rb') as first:
            assert copy.read() == first.read()
    assert found[0] == found[1]


def test_resumed_without_a_broken_file(tmp_path, monkeypatch):
    root = str(tmp_path)
    names = [f's{i}' for i in range(4)]
    infos = write_sequences(
        root, {
            name: make_sequence(name, objects=3, background=50, seed=i)
            for i, name in enumerate(names)
        })
    given = (infos, root, 'points')
    work, done = build._work, []

    def killed(scene, *rest):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(scene)
        work(scene, *rest)

    monkeypatch.setattr(build, '_work', killed)
    with pytest.raises(KeyboardInterrupt):
        build.complete(*given, progress=False)
    monkeypatch.setattr(
        build, '_work', lambda scene, *rest:
        (done.append(scene), work(scene, *rest)))
    _, report = build.complete(*given, progress=False)
    assert done == names and report.counts['new'] == 2
    # A file that ends too early is not taken for one.
    path = build.scene_file(root, 'complete', 's1')
    with open(path, 'rb') as file:
        content = file.read()
    with open(path, 'wb') as file:
        file.write(content[:len(content) // 2])
    _, report = build.complete(*given, progress=False)
    assert done[4:] == ['s1']
    with open(path, 'rb') as file:
        assert file.read() == content
    # Other boxes are another scene; other options want another tag.
    infos['data_list'][0]['instances'][0]['box_lidar'][0] += .5
    _, report = build.complete(*given, progress=False)
    assert done[5:] == ['s0']
    with pytest.raises(ConfigError, match='voxel 0.05 -> 0.2.*--tag'):
        build.complete(
            *given, options=CompletionOptions(voxel=.2), progress=False)
    build.complete(
        *given,
        tag='coarse',
        options=CompletionOptions(voxel=.2),
        progress=False)
    assert not list(tmp_path.rglob('*.part'))


def test_a_scene_that_fails_leaves_the_others(tmp_path):
    root = str(tmp_path)
    infos = write_sequences(
        root,
        {name: make_sequence(name, background=10)
         for name in ('s0', 's1')})
    (tmp_path / 'points/s0_003.bin').unlink()
    found, report = build.complete(infos, root, 'points', progress=False)
    assert list(report.failed) == ['s0'] and 's0_003.bin' in str(report)
    assert {x['scene_token'] for x in found['data_list']} == {'s1'}


def test_what_an_index_file_gets(tmp_path):
    root = str(tmp_path)
    infos = write_sequences(root, dict(s0=make_sequence('s0')))
    infos['data_list'] = infos['data_list'][::-1]  # order of time, not this
    found, _ = build.complete(infos, root, 'points', progress=False)
    save_infos(found, str(tmp_path / 'infos.pkl'))
    found = load_infos(str(tmp_path / 'infos.pkl'))
    for number, info in enumerate(found['data_list'][::-1]):
        assert info['complete_objects'] == dict(
            path='../complete_objects/complete/scenes/s0.npz', frame=number)
        for instance in info['instances']:
            assert instance['num_own_pts'] == instance['num_lidar_pts']
            assert instance['num_complete_pts'] > 0
    hidden = found['data_list'][0]['instances'][0]
    hidden['num_lidar_pts'], hidden['bbox_3d_isvalid'] = 0, False
    labelled = build.label_hidden(found)['data_list'][0]['instances'][0]
    assert labelled['num_lidar_pts'] == 1 and labelled['bbox_3d_isvalid']
    manifest = json.loads(
        (tmp_path / 'complete_objects/complete/manifest.json').read_text())
    assert manifest['options']['voxel'] == .05


def test_hash_is_of_input_and_options():
    frames = frames_of(make_sequence())
    keys = {
        input_hash(frames, CompletionOptions()),
        input_hash(frames[1:], CompletionOptions()),
        input_hash(frames, CompletionOptions(seed=1)),
        input_hash(frames, CompletionOptions(strategy='icp'))
    }
    assert len(keys) == 4


# ----------------------------------------------------------------- layouts


def test_waymo():
    sequence = make_sequence('segment')
    infos = dict(metainfo=dict(dataset='waymo'), data_list=sequence.infos)
    expected = [
        list(x['box_lidar']) for info in sequence.infos
        for x in info['instances']
    ]
    for number, info in enumerate(sequence.infos):
        info['context_name'] = info.pop('scene_token')
        info['timestamp'] *= 1e6
        for i, instance in enumerate(info['instances']):
            del instance['box_lidar'], instance['instance_id']
            instance['track_id'] = f'id{i}'
            instance['bbox_3d'][2] -= instance['bbox_3d'][5] / 2  # underside
    add_identities(infos, 'waymo', '')
    found = [x['box_lidar'] for i in sequence.infos for x in i['instances']]
    # The sensor stands upright here, so yaw is all there is.
    assert np.allclose(found, expected)
    assert list(group_by_scene(sequence.infos)) == ['segment']
    del sequence.infos[0]['instances'][0]['track_id']
    del sequence.infos[0]['instances'][0]['instance_id']
    with pytest.raises(ConfigError, match='save_track_id'):
        add_identities(infos, 'waymo', '')


def test_kitti(tmp_path):
    """Boxes of the camera's frame, tracks and poses of the sequences."""
    sequence = make_sequence('x')
    lidar_to_cam = np.eye(4)
    lidar_to_cam[:3, :3] = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
    lidar_to_cam[:3, 3] = [.1, -.2, .3]
    expected, frames = [], []
    for number, info in enumerate(sequence.infos):
        expected.append([x['box_lidar'] for x in info['instances']])
        info['images'] = dict(CAM2=dict(lidar2cam=lidar_to_cam.tolist()))
        info['lidar_points']['lidar_path'] = f'{number:06d}.bin'
        for instance in info['instances']:
            *center, length, width, height, yaw = instance['bbox_3d']
            below = lidar_to_cam @ [*center[:2], center[2] - height / 2, 1]
            instance['bbox_3d'] = [
                *below[:3], length, height, width, -yaw - np.pi / 2
            ]
            del instance['box_lidar'], instance['instance_id']
        info['instances'].append(  # a region
            dict(bbox_label_3d=-1, bbox_3d=[-1000.] * 3 + [-1.] * 3 + [-10.]))
        frames.append(
            dict(
                frame=f'{number:06d}',
                time=number / 2,
                velodyne_to_world=info.pop('lidar2global'),
                track_ids=[*range(7, 13), -1]))
        del info['scene_token']
    infos = dict(data_list=sequence.infos)
    with pytest.raises(ConfigError, match='sequences'):
        add_identities(infos, 'kitti', str(tmp_path))
    write_json(
        str(tmp_path / 'sequences/train.json'),
        [dict(sequence=4, folder='training', frames=frames)])
    add_identities(infos, 'kitti', str(tmp_path))
    for info, boxes in zip(sequence.infos, expected):
        *things, region = info['instances']
        assert info['scene_token'] == '4' and region['instance_id'] == ''
        assert [x['instance_id']
                for x in things] == ['7', '8', '9', '10', '11', '12']
        found = np.array([x['box_lidar'] for x in things])
        assert np.allclose(found[:, :6], np.array(boxes)[:, :6])
        for one, other in zip(found, boxes):
            turn = yaw_of_box(one) - yaw_of_box(np.array(other))
            assert np.cos(turn) == pytest.approx(1)
    objects = complete(sequence)
    assert len(objects) == 6 and (objects.own_count[6::7] == -1).all()
    sequence.infos[1]['instances'].pop()
    with pytest.raises(ConfigError, match='000001'):
        add_identities(infos, 'kitti', str(tmp_path))


def test_infos_without_identities():
    infos = dict(data_list=make_sequence().infos)
    add_identities(infos, 'infos', '')
    del infos['data_list'][0]['scene_token']
    with pytest.raises(ConfigError, match='scene_token'):
        add_identities(infos, 'infos', '')
    with pytest.raises(ConfigError, match='once'):
        add_identities(infos, 'once', '')
    with pytest.raises(ConfigError, match='no index file'):
        load_infos('nowhere.pkl')
