"""Identities in index files."""
import json

import numpy as np
import pytest

from mmkd.errors import ConfigError
from mmkd.methods.xray.data import build
from mmkd.methods.xray.data.boxes import yaw_of_box
from mmkd.methods.xray.data.infos import (add_identities, group_by_scene,
                                          load_infos, save_infos)
from mmkd.testing.sequences import make_sequence, write_sequences
from mmkd.utils.files import write_json
from tests.fixtures.completed import complete


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
