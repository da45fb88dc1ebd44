"""Tracks of predicted boxes, and predictions as labels."""
import numpy as np
import pytest

from mmkd.methods.xray.data.boxes import upright_box
from mmkd.methods.xray.data.tracking import TrackOptions, track
from mmkd.testing.sequences import make_sequence


def predictions(sequence):
    """The truth as if it had been predicted, and the true ids."""
    truth = []
    for info in sequence.infos:
        info['instances'] = [dict(x, score=.9) for x in info['instances']]
        truth.append([x['instance_id'] for x in info['instances']])
    return sequence.infos, truth


def same_partition(frames, truth):
    pairs = {(x['instance_id'], id_)
             for info, ids in zip(frames, truth)
             for x, id_ in zip(info['instances'], ids) if x['instance_id']}
    return len(pairs) == len({a
                              for a, _ in pairs}) == len({b
                                                          for _, b in pairs})


@pytest.mark.parametrize('offset', [0., 2000.])
def test_tracks_are_those_of_the_scene(offset):
    frames, truth = predictions(make_sequence(objects=9, offset=offset))
    assert track(frames) == 9
    assert same_partition(frames, truth)


def test_a_gap_is_bridged_and_no_longer_one():
    for gap, count in ((2, 1), (3, 2)):
        frames, _ = predictions(make_sequence(frames=8, objects=1))
        for info in frames[3:3 + gap]:
            info['instances'] = []
        assert track(frames) == count
        assert len(
            {x['instance_id']
             for info in frames
             for x in info['instances']}) == count


def test_one_to_one_within_a_frame():
    frames, _ = predictions(make_sequence(objects=1))
    for info in frames:
        info['instances'] += [dict(info['instances'][0])]
    track(frames)
    for info in frames:
        first, second = info['instances']
        assert first['instance_id'] != second['instance_id']


def test_classes_scores_and_short_tracks():
    frames, _ = predictions(make_sequence(objects=2))
    frames[1]['instances'][0]['bbox_label_3d'] = 2
    frames[2]['instances'][1]['score'] = .2
    assert track(frames, TrackOptions(max_gap=0)) == 3
    # Alone of its class, and of too low a score.
    assert frames[1]['instances'][0]['instance_id'] == ''
    assert frames[2]['instances'][1]['instance_id'] == ''
    assert track(frames, TrackOptions(min_length=7)) == 0
    assert track([]) == 0


def test_constant_velocity_is_expected():
    """Two objects that cross are told apart by where they are going."""
    frames = []
    for number in range(7):
        boxes = [
            upright_box((4. * number, y, 0), (4, 2, 2), 0)
            for y in (2. * number, 12. - 2. * number)
        ]
        frames.append(
            dict(
                timestamp=number / 2,
                lidar2global=np.eye(4).tolist(),
                instances=[
                    dict(box_lidar=box.tolist(), bbox_label_3d=0, score=.9)
                    for box in boxes[::-1 if number % 2 else 1]
                ]))
    assert track(frames) == 2
    for number, info in enumerate(frames):
        if number != 3:  # where they meet
            ids = [x['instance_id'] for x in info['instances']]
            assert ids[::-1 if number %
                       2 else 1] == ['track00000', 'track00001']
