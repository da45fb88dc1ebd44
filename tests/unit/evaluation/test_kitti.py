"""KITTI's average precision: by hand, against mmdet3d's code."""
import sys
import types

import numpy as np
import pytest
from shapely.geometry import Polygon

from mmkd.errors import ConfigError
from mmkd.evaluation import kitti_eval
from mmkd.evaluation.by_points import groups_of
from mmkd.evaluation.kitti import kitti_eval_groups
from tests.fixtures.rectangles import corners

CLASSES = ['Pedestrian', 'Cyclist', 'Car']

SIZES = dict(
    Car=(4., 1.5, 2.),
    Van=(5., 2., 2.),
    Truck=(8., 3., 2.5),
    Pedestrian=(.8, 1.7, .6),
    Person_sitting=(.8, 1.2, .6),
    Cyclist=(1.8, 1.7, .6),
    DontCare=(-1., -1., -1.))


def annotation(boxes):
    """Annotations of a frame; each box is a dict of what is not usual."""
    fields = dict(
        name=[],
        bbox=[],
        alpha=[],
        location=[],
        dimensions=[],
        rotation_y=[],
        occluded=[],
        truncated=[],
        score=[])
    for box in boxes:
        name = box.get('name', 'Car')
        usual = dict(
            name=name,
            bbox=(100., 100., 200., 150.),
            alpha=0.,
            location=(0., 1.7, 20.),
            dimensions=SIZES[name],
            rotation_y=0.,
            occluded=0,
            truncated=0.,
            score=.5)
        for key, value in {**usual, **box}.items():
            fields[key].append(value)
    count = len(boxes)
    shape = dict(bbox=(count, 4), location=(count, 3), dimensions=(count, 3))
    return {
        key:
        np.array(value, dtype=None if key == 'name' else float).reshape(
            shape.get(key, (count, )))
        for key, value in fields.items()
    }


def evaluate(truth, predicted, classes=('Car', ), **kwargs):
    return kitti_eval([annotation(x)
                       for x in truth], [annotation(x) for x in predicted],
                      list(classes), **kwargs)[1]


def car(kind, points, difficulty='moderate', level='strict'):
    return f'KITTI/Car_{kind}_{points}_{difficulty}_{level}'


ELSEWHERE = dict(bbox=(300., 100., 400., 150.), location=(15., 1.7, 20.))

FRAMES = 41  # with fewer true boxes not all 41 recalls are reached


@pytest.mark.parametrize('frames, ap11, ap40', [
    (10, 3 / 11, 9 / 40),
    (40, 10 / 11, 39 / 40),
    (41, 1, 1),
    (100, 1, 1),
])
def test_truth_scores_what_the_number_of_boxes_allows(frames, ap11, ap40):
    truth = [[{}]] * frames
    scores = evaluate(truth, truth)
    assert len(scores) == 4 * 2 * 3 * 2
    for key, value in scores.items():
        assert value == pytest.approx(100 * (ap11 if 'AP11' in key else ap40))


def test_false_detections_from_the_middle_of_the_recalls_on():
    truth = [[{}]] * FRAMES
    # The first 20 right detections come before all wrong ones.
    predicted = [[
        dict(score=.9 - .01 * i),
        dict(score=.705, **ELSEWHERE),
    ] for i in range(FRAMES)]
    scores = evaluate(truth, predicted)
    for kind in ('2D', 'BEV', '3D', 'AOS'):
        assert scores[car(kind,
                          'AP11')] == pytest.approx(100 * (5 + 6 * .5) / 11)
        assert scores[car(kind,
                          'AP40')] == pytest.approx(100 * (19 + 21 * .5) / 40)


def test_two_detections_of_an_object():
    truth = [[{}]] * FRAMES
    scores = evaluate(truth, [[{}, {}]] * FRAMES)
    assert scores[car('3D', 'AP40')] == pytest.approx(50)


def test_vans_are_neither_right_nor_wrong_for_cars():
    truth = [[{}, dict(name='Van', **ELSEWHERE)]] * FRAMES
    big = dict(ELSEWHERE, dimensions=SIZES['Van'])
    scores = evaluate(truth, [[{}, big]] * FRAMES)
    assert scores[car('3D', 'AP40')] == pytest.approx(100)
    truth = [[{}, dict(name='Truck', **ELSEWHERE)]] * FRAMES
    big = dict(ELSEWHERE, dimensions=SIZES['Truck'])
    scores = evaluate(truth, [[{}, big]] * FRAMES)
    assert scores[car('3D', 'AP40')] == pytest.approx(50)


def test_sitting_people_are_neither_for_pedestrians():
    person = dict(name='Person_sitting', **ELSEWHERE)
    truth = [[dict(name='Pedestrian'), person]] * FRAMES
    found = dict(
        name='Pedestrian', dimensions=SIZES['Person_sitting'], **ELSEWHERE)
    scores = evaluate(truth, [[dict(name='Pedestrian'), found]] * FRAMES,
                      ['Pedestrian'])
    assert scores['KITTI/Pedestrian_3D_AP40_easy_strict'] == pytest.approx(100)


def test_regions_excuse_detections_in_the_image_only():
    region = dict(
        name='DontCare',
        bbox=(290., 90., 410., 160.),
        alpha=-10.,
        location=(-1000., -1000., -1000.),
        rotation_y=-10.,
        occluded=-1,
        truncated=-1.)
    truth, predicted = [[{}, region]] * FRAMES, [[{}, ELSEWHERE]] * FRAMES
    scores = evaluate(truth, predicted)
    assert scores[car('2D', 'AP40')] == pytest.approx(100)
    assert scores[car('AOS', 'AP40')] == pytest.approx(100)
    assert scores[car('BEV', 'AP40')] == pytest.approx(50)
    assert scores[car('3D', 'AP40')] == pytest.approx(50)


@pytest.mark.parametrize('change, counts', [
    (dict(occluded=1), 'moderate hard'),
    (dict(occluded=2), 'hard'),
    (dict(occluded=3), ''),
    (dict(truncated=.15), 'easy moderate hard'),
    (dict(truncated=.2), 'moderate hard'),
    (dict(truncated=.4), 'hard'),
    (dict(truncated=.6), ''),
    (dict(bbox=(100., 100., 200., 140.)), 'moderate hard'),
    (dict(bbox=(100., 100., 200., 125.)), ''),
])
def test_difficulty_of_the_truth(change, counts):
    """What is too difficult is not missed, and finding it is not wrong."""
    truth = [[{}, dict(ELSEWHERE, **change)]] * FRAMES
    half = evaluate(truth, [[{}]] * FRAMES)
    whole = evaluate(truth, truth)
    for difficulty in ('easy', 'moderate', 'hard'):
        key = car('3D', 'AP40', difficulty)
        assert whole[key] == pytest.approx(100)
        if difficulty in counts.split():
            assert half[key] < 52
        else:
            assert half[key] == pytest.approx(100)


def test_small_detections_are_not_wrong():
    small = dict(ELSEWHERE, bbox=(300., 100., 400., 139.))
    scores = evaluate([[{}]] * FRAMES, [[{}, small]] * FRAMES)
    assert scores[car('3D', 'AP40', 'easy')] == pytest.approx(100)
    assert scores[car('3D', 'AP40', 'moderate')] == pytest.approx(50)


def test_orientation():
    predicted = [[dict(alpha=np.pi / 3)]] * FRAMES
    scores = evaluate([[{}]] * FRAMES, predicted)
    assert scores[car('2D', 'AP40')] == pytest.approx(100)
    assert scores[car('AOS', 'AP40')] == pytest.approx(75)
    without = evaluate([[{}]] * FRAMES, [[dict(alpha=-10)]] * FRAMES)
    assert not any('AOS' in key for key in without)


@pytest.mark.parametrize(
    'shift, expected',
    [
        ((.5, 0, 0), (100, 100, 100, 100)),  # IoU 3.5 / 4.5
        ((0, 0, .5), (0, 0, 100, 100)),  # IoU 1.5 / 2.5
        ((0, .5, 0), (100, 0, 100, 0)),  # IoU 1 / 2 in 3D
    ])
def test_shift_of_half_a_metre(shift, expected):
    moved = dict(location=np.array([0, 1.7, 20]) + shift)
    scores = evaluate([[{}]] * FRAMES, [[moved]] * FRAMES)
    found = [
        scores[car(kind, 'AP40', level=level)] for level in ('strict', 'loose')
        for kind in ('BEV', '3D')
    ]
    assert found == pytest.approx(list(expected))
    assert scores[car('2D', 'AP40')] == pytest.approx(100)


def test_groups_of_objects():
    """What finds an object of another group is neither right nor wrong."""
    near, far = dict(), dict(ELSEWHERE)
    truth = FRAMES * [annotation([near, far])]
    values = FRAMES * [np.array([200., 3.])]
    groups = groups_of((1, 6, 101))

    def found(predicted, **kwargs):
        return kitti_eval_groups(truth, FRAMES * [annotation(predicted)],
                                 ['Car', 'Cyclist'], values, groups, **kwargs)

    both = found([dict(near, score=.9), dict(far, score=.5)])
    assert [x['objects'] for x in both.values()] == [FRAMES, 0, FRAMES]
    assert both['1-5']['3d'] == both['101+']['bev'] == pytest.approx(100)
    assert np.isnan(both['6-100']['3d'])
    dense = found([near])
    assert dense['1-5']['3d'] == 0
    assert dense['101+'] == both['101+']
    # What finds nothing is wrong in each group.
    nowhere = dict(location=(-20., 1.7, 40.), score=.99)
    wrong = found([nowhere, dict(near, score=.9), dict(far, score=.5)])
    assert wrong['1-5']['3d'] == wrong['101+']['3d'] == pytest.approx(50)
    # Too difficult ones are of no group.
    hidden = [dict(near, occluded=2), far]
    truth = FRAMES * [annotation(hidden)]
    assert found([near, far], difficulty='moderate')['101+']['objects'] == 0
    assert found([near, far])['101+']['objects'] == FRAMES


def test_frames_and_classes_without_objects():
    truth = [[]] + [[{}]] * FRAMES + [[]]
    predicted = [[]] + [[{}]] * FRAMES + [[]]
    scores = evaluate(truth, predicted, CLASSES)
    assert scores[car('3D', 'AP40')] == pytest.approx(100)
    assert scores['KITTI/Cyclist_3D_AP40_easy_strict'] == 0
    assert scores['KITTI/Overall_3D_AP40_easy'] == pytest.approx(100 / 3)
    nothing = evaluate(truth, [[]] * len(truth))
    assert set(nothing.values()) == {0.}
    assert evaluate([], [], eval_types=['bbox'])[car('2D', 'AP11')] == 0


def test_kinds_of_boxes():
    scores = evaluate([[{}]], [[{}]], eval_types=['bbox'])
    assert {key.split('_')[1] for key in scores} == {'2D', 'AOS'}
    scores = evaluate([[{}]], [[{}]], eval_types=['3d'])
    assert {key.split('_')[1] for key in scores} == {'3D'}


@pytest.mark.parametrize('name, hint', [('car', "spelt 'Car'"),
                                        ('Van', 'does not evaluate'),
                                        ('bus', 'no such class')])
def test_wrong_classes_are_named(name, hint):
    with pytest.raises(ConfigError, match=hint):
        evaluate([[{}]], [[{}]], [name])


def test_wrong_arguments_are_named():
    with pytest.raises(ConfigError, match='2 frames.* for 1'):
        evaluate([[{}]] * 2, [[{}]])
    with pytest.raises(ConfigError, match='eval_types'):
        evaluate([[{}]], [[{}]], eval_types=['2d'])


def random_frames(seed, frames, objects=12):
    """Truth with neighbours, regions and crowding; detections around it."""
    rng = np.random.default_rng(seed)
    truths, predictions = [], []
    for frame in range(frames):
        truth, predicted = [], []
        for _ in range(rng.integers(objects // 2 * (frame == 0), objects)):
            name = rng.choice(list(SIZES), p=[.35, .08, .05, .2, .07, .15, .1])
            if frame == 0 and not truth:
                name = 'Car'  # mmdet3d looks for an angle here
            size = np.abs(SIZES[name]) * rng.uniform(.9, 1.1, 3)
            place = np.array([
                rng.uniform(-6, 6),
                rng.uniform(1.4, 1.8),
                rng.uniform(5, 28)
            ])
            if truth and rng.random() < .35:  # close to another
                place = truth[-1]['place'] + rng.normal(size=3) * (.6, .1, .8)
            angle, alpha = rng.uniform(-3, 3, 2)
            truth.append(
                dict(
                    name=name,
                    place=place,
                    bbox=image_box(place, size),
                    alpha=alpha,
                    location=place,
                    dimensions=size,
                    rotation_y=angle,
                    truncated=rng.choice([0, 0, .2, .4]),
                    occluded=rng.choice([0, 0, 0, 1, 2, 3])))
            for _ in range(rng.choice([0, 1, 1, 1, 2])):
                noise = rng.choice([.02, .15, .5])
                place_p = place + rng.normal(size=3) * noise * (1, .2, 1)
                size_p = size * np.exp(rng.normal(size=3) * noise / 5)
                right = name in CLASSES and rng.random() < .9
                predicted.append(
                    dict(
                        name=name if right else rng.choice(CLASSES),
                        bbox=image_box(place_p, size_p) +
                        rng.normal(size=4) * noise * 4,
                        alpha=alpha + rng.normal() * noise,
                        location=place_p,
                        dimensions=size_p,
                        rotation_y=angle + rng.normal() * noise / 3,
                        score=round(rng.random(), 1)))  # some are equal
            if name == 'DontCare':
                truth[-1].update(
                    alpha=-10.,
                    location=(-1000., ) * 3,
                    dimensions=(-1., ) * 3,
                    rotation_y=-10.,
                    occluded=-1,
                    truncated=-1.)
        predicted = [predicted[i] for i in rng.permutation(len(predicted))]
        for box in truth:
            del box['place']
        truths.append(annotation(truth))
        predictions.append(annotation(predicted))
    return truths, predictions


def image_box(place, size):
    height = size[1] * 300 / place[2]
    width = max(size[0], size[2]) * 220 / place[2]
    x = 300 + place[0] * 300 / place[2]
    y = 150 + place[1] * 300 / place[2]
    return np.array([x - width / 2, y - height, x + width / 2, y])


@pytest.fixture
def mmdet3d_kitti_eval(monkeypatch):
    """mmdet3d's evaluation, its CUDA kernel by shapely."""
    pytest.importorskip('mmdet3d')
    from mmdet3d.evaluation.functional.kitti_utils import eval as module

    def rotate_iou_gpu_eval(boxes, others, criterion=-1):
        found = np.zeros((len(boxes), len(others)), np.float32)
        shapes = [Polygon(corners(box)) for box in others]
        for i, box in enumerate(boxes):
            shape = Polygon(corners(box))
            for j, other in enumerate(shapes):
                if shape.distance(other) > 0:
                    continue
                shared = shape.intersection(other).area
                if criterion == 2:
                    found[i, j] = shared
                else:
                    found[i, j] = shared / (shape.area + other.area - shared)
        return found

    kernel = types.ModuleType('rotate_iou')
    kernel.rotate_iou_gpu_eval = rotate_iou_gpu_eval
    monkeypatch.setitem(
        sys.modules, 'mmdet3d.evaluation.functional.kitti_utils.rotate_iou',
        kernel)
    return module.kitti_eval


@pytest.mark.parametrize('seed', range(2))
def test_equal_to_mmdet3d(mmdet3d_kitti_eval, seed):
    truth, predicted = random_frames(seed, 12)
    text, expected = mmdet3d_kitti_eval(
        truth, predicted, CLASSES, eval_types=['bbox', 'bev', '3d'])
    _, found = kitti_eval(truth, predicted, CLASSES)
    assert len(expected) == 126
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert len({round(value, 6) for value in expected.values()}) > 20
    # Orientation is only in mmdet3d's text.
    lines = [line for line in text.splitlines() if line.startswith('aos')]
    values = [float(x) for y in lines for x in y.split(':')[1].split(',')]
    ours = [
        found[f'KITTI/{name}_AOS_{points}_{difficulty}{level}']
        for points in ('AP11', 'AP40')
        for name, level in [(name, level) for name in CLASSES
                            for level in ('_strict', '_loose')] +
        [('Overall', '')] for difficulty in ('easy', 'moderate', 'hard')
    ]
    assert len(values) == 42
    assert ours == pytest.approx(values, abs=.0051)


# mmdet3d's own kernel, run by numba's simulator of CUDA, on
# random_frames(5, 2, 40).
STORED = {
    'Pedestrian_2D_AP11_%s_strict': (0.0, 1.81818, 4.54545),
    'Pedestrian_BEV_AP11_%s_strict': (0.0, 1.81818, 4.54545),
    'Pedestrian_3D_AP11_%s_strict': (0.0, 1.81818, 4.54545),
    'Pedestrian_2D_AP11_%s_loose': (0.0, 1.81818, 4.54545),
    'Pedestrian_BEV_AP11_%s_loose': (0.0, 1.81818, 4.54545),
    'Pedestrian_3D_AP11_%s_loose': (0.0, 1.81818, 4.54545),
    'Cyclist_2D_AP11_%s_strict': (9.09091, 4.54545, 5.45455),
    'Cyclist_BEV_AP11_%s_strict': (0.0, 4.54545, 4.54545),
    'Cyclist_3D_AP11_%s_strict': (0.0, 4.54545, 4.54545),
    'Cyclist_2D_AP11_%s_loose': (9.09091, 4.54545, 5.45455),
    'Cyclist_BEV_AP11_%s_loose': (9.09091, 4.54545, 5.45455),
    'Cyclist_3D_AP11_%s_loose': (9.09091, 4.54545, 5.45455),
    'Car_2D_AP11_%s_strict': (4.54545, 4.54545, 9.09091),
    'Car_BEV_AP11_%s_strict': (4.54545, 4.54545, 8.04196),
    'Car_3D_AP11_%s_strict': (4.54545, 4.54545, 8.04196),
    'Car_2D_AP11_%s_loose': (4.54545, 4.54545, 9.09091),
    'Car_BEV_AP11_%s_loose': (9.09091, 6.06061, 11.06061),
    'Car_3D_AP11_%s_loose': (9.09091, 6.06061, 11.06061),
    'Overall_2D_AP40_%s': (0.0, 0.83333, 3.82509),
    'Overall_BEV_AP40_%s': (0.0, 0.41667, 2.48535),
    'Overall_3D_AP40_%s': (0.0, 0.41667, 2.48535),
}


def test_equal_to_stored_numbers_of_mmdet3d():
    _, found = kitti_eval(*random_frames(5, 2, 40), CLASSES)
    for key, values in STORED.items():
        ours = [
            found[f'KITTI/{key}' % difficulty]
            for difficulty in ('easy', 'moderate', 'hard')
        ]
        assert ours == pytest.approx(list(values), abs=1e-5), key
