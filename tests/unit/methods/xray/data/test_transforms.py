"""Complete and ordinary points through one augmentation."""
import copy
import os.path as osp
import pickle

import numpy as np
import pytest
import torch
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import LiDARInstance3DBoxes
from mmengine.registry import DefaultScope

from mmkd.errors import ConfigError
from mmkd.methods.xray.data import build
from mmkd.methods.xray.data.boxes import points_in_box
from mmkd.methods.xray.data.completion import PUBLISHED, CompletionOptions
from mmkd.methods.xray.data.frames import write_frames
from mmkd.methods.xray.data.infos import save_infos
from mmkd.methods.xray.data.pipelines import with_complete_objects
from mmkd.methods.xray.data.placement import PUBLISHED_PLACEMENT, Placement
from mmkd.methods.xray.data.transforms import (BOTH, STUDENT, TEACHER,
                                               LoadCompleteObjects,
                                               load_objects)
from mmkd.testing.sequences import CLASSES, make_sequence, write_sequences

RANGE = [-20, -20, -5, 20, 20, 3]
AUGMENT = [
    dict(
        type='GlobalRotScaleTrans',
        rot_range=[-0.4, 0.4],
        scale_ratio_range=[0.95, 1.05],
        translation_std=[.2, .2, 0]),
    dict(
        type='RandomFlip3D',
        sync_2d=False,
        flip_ratio_bev_horizontal=0.5,
        flip_ratio_bev_vertical=0.5),
    dict(type='PointsRangeFilter', point_cloud_range=RANGE),
    dict(type='ObjectRangeFilter', point_cloud_range=RANGE),
    dict(type='PointShuffle')
]
PACK = dict(
    type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d'])
LOAD = [
    dict(
        type='LoadPointsFromFile',
        coord_type='LIDAR',
        load_dim=5,
        use_dim=[0, 1, 2, 3]),
    dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True)
]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Two scenes with their completed objects, and a database."""
    root = str(tmp_path_factory.mktemp('complete'))
    infos = write_sequences(root, {
        name: make_sequence(name, seed=i)
        for i, name in enumerate('ab')
    })
    infos, _ = build.complete(
        infos,
        root,
        'points',
        options=CompletionOptions(**PUBLISHED),
        progress=False)
    save_infos(infos, osp.join(root, 'infos_train_complete.pkl'))
    save_infos(infos, osp.join(root, 'infos_train.pkl'))
    # Objects of the second scene, as mmdet3d's create_data.py cuts them out.
    database = {}
    info = infos['data_list'][7]
    points = np.fromfile(
        osp.join(root, 'points', info['lidar_points']['lidar_path']),
        np.float32).reshape(-1, 5)
    for i, instance in enumerate(info['instances']):
        box = np.array(instance['box_lidar'])
        x, y, z, length, width, height, yaw = instance['bbox_3d']
        below = np.array([x, y, z - height / 2, length, width, height, yaw],
                         np.float32)
        cut = points[points_in_box(points, box)].copy()
        cut[:, :3] -= below[:3]
        path = f'object_{i}.bin'
        cut.tofile(osp.join(root, path))
        name = CLASSES[instance['bbox_label_3d']]
        database.setdefault(name, []).append(
            dict(
                name=name,
                path=path,
                image_idx=info['sample_idx'],
                gt_idx=i,
                box3d_lidar=below,
                num_points_in_gt=len(cut),
                difficulty=0))
    completed = build.add_to_database(database, infos, root, 'points')
    for entries, tag in ((database, ''), (completed, '_complete')):
        with open(osp.join(root, f'dbinfos{tag}.pkl'), 'wb') as file:
            pickle.dump(entries, file)
    return root, infos


def frame(data, number):
    """A frame as the data set hands it to the pipeline."""
    root, infos = data
    info = copy.deepcopy(infos['data_list'][number])
    info['lidar_points']['lidar_path'] = osp.join(
        root, 'points', info['lidar_points']['lidar_path'])
    boxes = np.array([x['bbox_3d'] for x in info['instances']])
    info['ann_info'] = dict(
        gt_bboxes_3d=LiDARInstance3DBoxes(
            np.float32(boxes), origin=(.5, .5, .5)),
        gt_labels_3d=np.array([x['bbox_label_3d'] for x in info['instances']]))
    return info


def run(steps, results, seed=0):
    np.random.seed(seed)
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        for step in steps:
            results = TRANSFORMS.build(copy.deepcopy(step))(results)
    return results


def paired(steps, keep='both', **options):
    """The steps of an ordinary pipeline with complete objects."""
    loader = dict(
        dataset=dict(ann_file='infos_train.pkl', pipeline=[*steps, PACK]))
    made = with_complete_objects(loader, keep, **options)
    assert made['dataset']['ann_file'] == 'infos_train_complete.pkl'
    return made['dataset']['pipeline']


def rows(points):
    """Points in an order that depends on themselves alone."""
    array = np.asarray(points)
    return array[np.lexsort(array.T[::-1])]


@pytest.mark.parametrize('number', [0, 4, 9])
def test_student_is_that_of_the_ordinary_pipeline(data, number):
    state = []
    ordinary = run([*LOAD, *AUGMENT, PACK], frame(data, number), number)
    state.append((np.random.rand(), torch.rand(()).item()))
    both = run(paired(LOAD + AUGMENT), frame(data, number), number)
    state.append((np.random.rand(), torch.rand(()).item()))
    assert state[0] == state[1]  # not a draw more
    student = both['inputs']['points']
    teacher = both['inputs']['points_teacher']
    assert student.shape == ordinary['inputs']['points'].shape
    # In the same order, too.
    assert torch.allclose(student, ordinary['inputs']['points'], atol=1e-6)
    for name in ('bboxes_3d', 'labels_3d'):
        first, second = (
            getattr(x['data_samples'].gt_instances_3d, name)
            for x in (ordinary, both))
        assert torch.equal(
            getattr(first, 'tensor', first), getattr(second, 'tensor', second))
    # The teacher has all of the student's points, and more in the boxes.
    student_rows = {row.tobytes() for row in student.numpy()}
    teacher_rows = {row.tobytes() for row in teacher.numpy()}
    assert student_rows <= teacher_rows
    added = np.array(
        [row for row in teacher.numpy() if row.tobytes() not in student_rows])
    assert len(added) > 100
    boxes = both['data_samples'].gt_instances_3d.bboxes_3d
    from mmdet3d.structures.ops import box_np_ops
    grown = boxes.tensor.numpy().copy()
    grown[:, 3:6] += .22
    grown[:, 2] -= .11
    inside = box_np_ops.points_in_rbbox(added, grown).any(1)
    # All but those of objects that the range filter took away.
    assert inside.mean() > .9
    meta = both['data_samples'].metainfo
    assert isinstance(meta['pcd_scale_factor'], float)


def test_background_and_own_points_are_untouched(data):
    plain = run(LOAD, frame(data, 3))['points'].tensor
    points = run(
        [*LOAD, dict(type='mmkd.LoadCompleteObjects', strict=True)],
        frame(data, 3))['points'].tensor
    assert torch.equal(points[:len(plain), :-1], plain)
    assert (points[:len(plain), -1] == BOTH).all()
    assert (points[len(plain):, -1] == TEACHER).all()
    assert len(points) > len(plain)


def test_published_preset_replaces(data):
    info = frame(data, 3)
    plain = run(LOAD, frame(data, 3))['points'].tensor.numpy()
    points = run(
        [*LOAD,
         dict(type='mmkd.LoadCompleteObjects', preset='published')],
        frame(data, 3))['points'].tensor.numpy()
    own = points[:len(plain)]
    inside = np.zeros(len(plain), bool)
    for instance in info['instances']:
        inside[points_in_box(plain, np.array(instance['box_lidar']))] = True
    assert np.array_equal(own[:, -1] == STUDENT, inside)
    objects = load_objects(
        osp.join(
            osp.dirname(info['lidar_points']['lidar_path']),
            info['complete_objects']['path']))
    assert (points[:, -1] == TEACHER).sum() == len(objects.points)
    # The same cloud as 'add', where nothing is thinned or cut off.
    added = run([
        *LOAD,
        dict(
            type='mmkd.LoadCompleteObjects',
            keep_margin=None,
            min_visible_points=0)
    ], frame(data, 3))['points'].tensor.numpy()
    first = rows(points[points[:, -1] != STUDENT][:, :3].round(3))
    second = rows(added[:, :3].round(3))
    assert first.shape == second.shape
    assert np.abs(first - second).max() < 3e-3


def test_augmented_boxes_go_back_to_where_they_were(data):
    """The recorded augmentation undone, yaw and flips included."""
    steps = [*LOAD, dict(type='mmkd.LoadCompleteObjects'), *AUGMENT[:2]]
    for seed in range(4):
        before = frame(data, 3)['ann_info']['gt_bboxes_3d']
        results = run(steps, frame(data, 3), seed)
        boxes = results['gt_bboxes_3d'].clone()
        if results['pcd_vertical_flip']:
            boxes.flip('vertical')
        if results['pcd_horizontal_flip']:
            boxes.flip('horizontal')
        boxes.translate(-torch.from_numpy(results['pcd_trans']).float())
        boxes.scale(1 / results['pcd_scale_factor'])
        boxes.rotate(-results['pcd_rotation_angle'])
        assert torch.allclose(
            boxes.tensor[:, :6], before.tensor[:, :6], atol=1e-4)
        turn = boxes.tensor[:, 6] - before.tensor[:, 6]
        assert torch.allclose(turn.cos(), torch.ones(len(turn)), atol=1e-5)


def test_hidden_objects(data):

    def count(visible, hide):
        info = frame(data, 3)
        if hide:
            info['instances'][0]['num_own_pts'] = 0
        step = LoadCompleteObjects(min_visible_points=visible)
        return len(step(run(LOAD, info))['points'])

    assert count(1, True) < count(1, False) == count(0, True)


def test_time_intensity_and_columns(data):
    load = dict(LOAD[0], use_dim=5)
    step = dict(
        type='mmkd.LoadCompleteObjects',
        time_dim=4,
        time_value=.25,
        norm_intensity=True)
    points = run([load, step], frame(data, 3))['points'].tensor
    added = points[points[:, -1] == TEACHER]
    assert (added[:, 4] == .25).all() and points.size(1) == 6
    # The true age: a multiple of the time between frames, of both signs.
    info = frame(data, 3)
    points = run([load, dict(step, time_value='delta')], info)['points'].tensor
    ages = points[points[:, -1] == TEACHER][:, 4]
    assert ages.min() < 0 < ages.max() and not (ages == 0).any()
    for wrong in (dict(time_value='age',
                       time_dim=4), dict(time_value='delta')):
        with pytest.raises(ConfigError, match='time_value'):
            LoadCompleteObjects(**wrong)
    plain = run([load, dict(type='mmkd.LoadCompleteObjects')],
                frame(data, 3))['points'].tensor
    assert torch.allclose(plain[plain[:, -1] == TEACHER][:, 3].tanh(),
                          added[:, 3])
    with pytest.raises(ConfigError, match='use_dim'):
        LoadCompleteObjects(use_dim=3)(run([load], frame(data, 3)))


def test_sweeps_in_boxes(data):
    info = frame(data, 3)
    results = run([dict(LOAD[0], use_dim=5)], info)
    values = results['points'].tensor
    values[::2, 4] = .1  # half of the points are of earlier sweeps
    old = values[:, 4] != 0
    points = LoadCompleteObjects(
        time_dim=4, drop_sweeps=True)(results)['points'].tensor
    hidden = points[:len(old), -1] == STUDENT
    assert hidden.any() and not (hidden & ~old).any()
    with pytest.raises(ConfigError, match='time_dim'):
        LoadCompleteObjects(drop_sweeps=True)


def test_windows(data):

    def added(**options):
        step = LoadCompleteObjects(**options)
        return len(step(run(LOAD, frame(data, 3)))['points'])

    assert added(window=0) < added(window=1) < added() == added(window=9)
    assert added(window=0) < added(class_window=dict(car=0)) < added()


@pytest.mark.parametrize('options', [{}, PUBLISHED_PLACEMENT])
def test_whole_clouds_are_those_of_the_teacher(data, options, tmp_path):
    """An ordinary pipeline reads what the transform would have made."""
    root, infos = data
    tag = f'clouds{len(options)}'
    # Where the objects are, with a tag of its own for the clouds.
    found, report = write_frames(
        infos, root, 'points', tag, Placement(**options), progress=False)
    assert report.counts == dict(
        scenes=2, new=2, frames=len(infos['data_list']))
    assert not any('complete_objects' in x for x in found['data_list'])
    preset = dict(preset='published') if options else {}
    number = 3
    teacher = run([
        *LOAD,
        dict(type='mmkd.LoadCompleteObjects', **preset),
        dict(type='mmkd.SplitCompletePoints', keep='teacher')
    ], frame(data, number))['points'].tensor
    written = run(LOAD, frame((root, found), number))['points'].tensor
    assert torch.equal(written, teacher)
    assert len(written) > len(run(LOAD, frame(data, number))['points'])


def test_frames_without_completed_objects(data, caplog):
    info = frame(data, 3)
    del info['complete_objects']
    step = LoadCompleteObjects()
    plain = run(LOAD, copy.deepcopy(info))
    count = len(plain['points'])
    assert len(step(plain)['points']) == count
    with pytest.raises(ConfigError, match='mmkd complete'):
        LoadCompleteObjects(strict=True)(run(LOAD, copy.deepcopy(info)))
    info['complete_objects'] = dict(path='nowhere.npz', frame=0)
    with pytest.raises(ConfigError, match='nowhere.npz'):
        step(run(LOAD, info))
    for wrong in (dict(mode='swap'), dict(preset='theirs'),
                  dict(size_mode='box')):
        with pytest.raises(ConfigError):
            LoadCompleteObjects(**wrong)


def test_pasted_objects_are_the_same_for_both(data):
    root, _ = data
    sampler = dict(
        type='DataBaseSampler',
        data_root=root,
        info_path=osp.join(root, 'dbinfos.pkl'),
        rate=1.,
        prepare=dict(filter_by_min_points=dict(car=1)),
        classes=['car', 'truck', 'pedestrian'],
        sample_groups=dict(car=5, truck=4),
        points_loader=dict(LOAD[0]))
    steps = [*LOAD, dict(type='ObjectSample', db_sampler=sampler), *AUGMENT]
    # Where there is room for them.
    infos = frame(data, 0)
    infos['instances'] = infos['instances'][2:3]
    infos['ann_info']['gt_bboxes_3d'] = infos['ann_info']['gt_bboxes_3d'][2:3]
    infos['ann_info']['gt_labels_3d'] = np.array([2])
    before = len(infos['ann_info']['gt_labels_3d'])
    counts = []
    for database in (False, True):
        found = run(
            paired(steps, database=database), copy.deepcopy(infos), seed=3)
        assert len(found['data_samples'].gt_instances_3d) > before
        student = found['inputs']['points']
        teacher = found['inputs']['points_teacher']
        rows_t = {row.tobytes() for row in teacher.numpy()}
        assert all(row.tobytes() in rows_t for row in student.numpy())
        counts.append((len(student), len(teacher)))
    # The same boxes; the teacher sees pasted objects complete if it can.
    assert counts[0][0] == counts[1][0] and counts[0][1] < counts[1][1]
    # Added points lie where the object was pasted.
    added = [
        row for row in teacher.numpy()
        if row.tobytes() not in {x.tobytes()
                                 for x in student.numpy()}
    ]
    boxes = found['data_samples'].gt_instances_3d.bboxes_3d.tensor.numpy()
    from mmdet3d.structures.ops import box_np_ops
    boxes[:, 3:6] += .22
    boxes[:, 2] -= .11
    assert box_np_ops.points_in_rbbox(np.array(added), boxes).any(1).all()


def test_teacher_s_own_pipeline(data):
    both = run(paired(LOAD + AUGMENT), frame(data, 3))
    teacher = run(paired(LOAD + AUGMENT, 'teacher'), frame(data, 3))
    assert set(teacher['inputs']) == {'points'}
    assert np.allclose(
        rows(teacher['inputs']['points']),
        rows(both['inputs']['points_teacher']),
        atol=1e-5)
    # Frames to test it on have boxes and tracks, but no truth to load.
    test = paired([LOAD[0]], 'teacher')
    assert [x['type'] for x in test] == [
        'LoadPointsFromFile', 'mmkd.LoadCompleteObjects',
        'mmkd.SplitCompletePoints', 'Pack3DDetInputs'
    ]
    points = run(test, frame(data, 3))['inputs']['points']
    assert len(points) > len(run(LOAD, frame(data, 3))['points'])
