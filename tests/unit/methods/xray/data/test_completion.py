"""Objects of a scene: gathered, thinned, placed, kept in files."""
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from mmkd.errors import ConfigError
from mmkd.methods.xray.data import build
from mmkd.methods.xray.data.boxes import (box_of_pose, points_in_box,
                                          pose_of_box, transform, upright_box)
from mmkd.methods.xray.data.completion import (PUBLISHED, CompleteObjects,
                                               CompletionOptions, thin)
from mmkd.testing.sequences import make_sequence, write_sequences
from tests.fixtures.completed import complete

EVERYTHING = CompletionOptions(**PUBLISHED)

# ------------------------------------------------------------------- boxes

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
            others = objects.place(i, number, box).points
            all_of_it = objects.place(i, number, box, own=True).points
            own = (sequence.sources[number] == i).sum()
            assert len(all_of_it) == len(others) + own
            assert len(points_in_box(others, box, 1e-4)) == len(others)
            near = objects.place(i, number, box, window=1).points
            assert len(near) <= len(others)
    assert len(objects.place(0, 0, box, keep_margin=-10).points) == 0


def test_scaled_to_the_size_of_the_box():
    sequence = make_sequence(objects=1)
    objects = complete(sequence, EVERYTHING)
    box = np.array(sequence.infos[0]['instances'][0]['box_lidar'])
    twice = box.copy()
    twice[3:6] *= 2
    plain = objects.place(0, 0, box).points
    scaled = objects.place(0, 0, twice, size_mode='scale').points
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
    assert len(objects.place(0, 0, box).points) == 0


def test_ages():
    sequence = make_sequence()
    objects = complete(sequence, EVERYTHING)
    times = [info['timestamp'] for info in sequence.infos]
    box = np.array(sequence.infos[2]['instances'][0]['box_lidar'])
    ages = objects.place(0, 2, box).age
    seen = {
        frame
        for frame, source in enumerate(sequence.sources)
        if (source == 0).any()
    }
    assert set(ages) == {times[2] - times[frame] for frame in seen - {2}}
    assert ages.min() < 0 < ages.max()
    # Its own view has none.
    assert 0 in objects.place(0, 2, box, own=True).age


def test_no_accumulation():
    sequence = make_sequence()
    alone = complete(sequence, replace(EVERYTHING, strategy='none'))
    objects = complete(sequence, EVERYTHING)
    assert alone.inst_id.tolist() == objects.inst_id.tolist()
    assert len(alone.view_frame) == len(alone) < len(objects.view_frame)
    for i in range(len(alone)):
        first = objects.view_frame[objects.view_inst == i].min()
        assert alone.view_frame[i] == first
        assert alone.counts()[i] == (sequence.sources[first] == i).sum()


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
            objects.place(1, 0, box, keep_margin=1).points[:, :3],
            np.linalg.inv(pose_of_box(box)))
        return cKDTree(sequence.surfaces[1]).query(placed)[0].mean()

    assert spread('icp') < .6 * spread('concat')


# ------------------------------------------------------------------ files

# ----------------------------------------------------------------- layouts
