"""Whole clouds: written once, and whole."""
import numpy as np
import pytest

from mmkd.errors import ConfigError
from mmkd.methods.xray.data import build, frames
from mmkd.methods.xray.data.completion import read_points
from mmkd.methods.xray.data.placement import Placement
from mmkd.testing.sequences import make_sequence, write_sequences


@pytest.fixture
def scenes(tmp_path):
    """Root and index file of two scenes with completed objects."""
    root = str(tmp_path)
    infos = write_sequences(
        root, {
            name: make_sequence(name, objects=3, background=50, seed=i)
            for i, name in enumerate(('a 0', 'b'))
        })
    infos, _ = build.complete(infos, root, 'points', progress=False)
    return root, infos


def cloud_of(root, info):
    return read_points(f'{root}/points/{info["lidar_points"]["lidar_path"]}',
                       5)


def write(root, infos, **kwargs):
    return frames.write_frames(infos, root, 'points', progress=False, **kwargs)


def test_own_points_come_first(scenes):
    root, infos = scenes
    found, _ = write(root, infos)
    for before, after in zip(infos['data_list'], found['data_list']):
        own, whole = cloud_of(root, before), cloud_of(root, after)
        assert np.array_equal(whole[:len(own)], own)
        assert after['instances'] == before['instances']
    path = found['data_list'][0]['lidar_points']['lidar_path']
    assert path.startswith('../complete_objects/complete/frames/a_0/')
    # The index file that was given is as before.
    assert 'complete_objects' in infos['data_list'][0]


def test_frames_where_nothing_is_added_keep_their_file(scenes):
    root, infos = scenes
    for instance in infos['data_list'][1]['instances']:
        instance['num_own_pts'] = 0
    found, report = write(root, infos)
    kept = [
        before['lidar_points'] == after['lidar_points']
        for before, after in zip(infos['data_list'], found['data_list'])
    ]
    assert kept.count(True) == 1 and kept[1]
    assert report.counts['frames'] == len(kept) - 1


def test_resumed_and_in_other_ways(scenes, tmp_path, monkeypatch):
    root, infos = scenes
    read, seen = frames.read_points, []

    def killed(path, columns):
        if len(seen) == 8:
            raise KeyboardInterrupt
        seen.append(path)
        return read(path, columns)

    monkeypatch.setattr(frames, 'read_points', killed)
    with pytest.raises(KeyboardInterrupt):
        write(root, infos)
    monkeypatch.setattr(frames, 'read_points', read)
    found, report = write(root, infos)
    assert report.counts['new'] == 1  # the first scene was done
    assert not list(tmp_path.rglob('*.part'))
    first = [cloud_of(root, info).tobytes() for info in found['data_list']]
    assert write(root, infos)[1].counts['new'] == 0
    # A file that is lost is written again.
    lost = next(tmp_path.rglob('frames/b/*.bin'))
    lost.unlink()
    assert write(root, infos)[1].counts['new'] == 1 and lost.is_file()
    with pytest.raises(ConfigError, match='window None -> 1.*--tag'):
        write(root, infos, placement=Placement(window=1))
    narrow, _ = write(
        root, infos, placement=Placement(window=1), overwrite=True)
    assert sum(len(cloud_of(root, x))
               for x in narrow['data_list']) < sum(map(len, first)) / 20
    again, report = write(root, infos, overwrite=True)
    assert report.counts['new'] == 2
    assert [cloud_of(root, x).tobytes() for x in again['data_list']] == first


def test_scenes_that_fail_and_names_that_meet(scenes, tmp_path):
    root, infos = scenes
    (tmp_path / 'points' /
     infos['data_list'][-1]['lidar_points']['lidar_path']).unlink()
    found, report = write(root, infos)
    assert list(report.failed) == ['b']
    assert {x['scene_token'] for x in found['data_list']} == {'a 0'}
    for info in infos['data_list'][:2]:
        folder, name = 'x' if info is infos['data_list'][0] else 'y', 'f.bin'
        info['lidar_points']['lidar_path'] = f'{folder}/{name}'
        info['complete_objects'][
            'path'] = '../' + info['complete_objects']['path']
    with pytest.raises(ConfigError, match='one name'):
        write(root, infos)
