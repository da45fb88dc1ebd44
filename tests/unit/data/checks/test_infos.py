"""Faults in index files of mmdet3d, and in some of the scans."""
import numpy as np
import pytest

from tests.fixtures.datasets import edit, kitti, nuscenes, only, texts

INF, NAN = float('inf'), float('nan')


def info(*path, value=None):
    """Change a field of the second record, or remove it."""

    def change(content):
        content = content['data_list'][1]
        for key in path[:-1]:
            content = content[key]
        if value is None:
            del content[path[-1]]
        else:
            content[path[-1]] = value

    return change


def instance(**changes):
    return lambda content: content['data_list'][1]['instances'][0].update(
        changes)


def box(slot, value):

    def change(content):
        content['data_list'][1]['instances'][1]['bbox_3d'][slot] = value

    return change


INFO = 'infos.pkl: data_list[1] (sample 1) has '

INFOS = [
    (kitti, info('images'), INFO + 'no `images`'),
    (kitti, info('images', 'CAM2'), INFO + 'no `images.CAM2.lidar2cam`'),
    (kitti, info('images', 'CAM2', 'lidar2cam', value=np.zeros(
        (4, 4))), INFO + 'an `images.CAM2.lidar2cam` that has no inverse'),
    (kitti, info('images', 'CAM2', 'lidar2cam', value=[1, 2]),
     INFO + 'an `images.CAM2.lidar2cam` that is not 4 x 4 numbers'),
]

for layout in (kitti, nuscenes):
    INFOS += [
        (layout, info('lidar_points', 'num_pts_feats'),
         INFO + 'no `lidar_points.num_pts_feats`'),
        (layout, info('lidar_points', 'lidar_path', value=3),
         INFO + 'a `lidar_points.lidar_path` that is no text'),
        (layout, info('lidar_points', 'lidar_path', value='no.bin'),
         'points/no.bin: there is no such file (data_list[1] of '),
        (layout, info('instances'), INFO + 'no `instances`'),
        (layout, instance(bbox_label_3d=99),
         INFO + 'instances[0] with the `bbox_label_3d` 99, but '),
        (layout, instance(bbox_3d=[1., 2.]),
         INFO + 'instances[0] with the `bbox_3d` [1.0, 2.0], which is not 7'),
        (layout, instance(bbox_3d=list('1234567')),
         INFO + "instances[0] with ['1', '2'"),
        (layout, box(0, 1e6), 'the centre is in metres'),
        (layout, box(2, -INF), 'a 3D box is finite'),
        (layout, box(3, 0.), 'sizes are positive'),
        (layout, box(4, -2.), 'sizes are positive'),
        (layout, box(5, 1e6), 'sizes are in metres'),
        (layout, box(6, 1e10), 'the yaw is in radians'),
    ]

INFOS += [
    (nuscenes, instance(velocity=[INF, 0.]),
     INFO + 'instances[0] with the `velocity` [inf, 0.0]'),
    (nuscenes, instance(velocity=[0., NAN]),
     INFO + 'instances[0] with the `velocity` [0.0, nan]'),
]


@pytest.mark.parametrize('layout, change, message', INFOS)
def test_infos(layout, change, message, tmp_path):
    dataset = layout(str(tmp_path))
    edit(f'{tmp_path}/infos.pkl', change)
    text = only(dataset)
    assert text.startswith(str(tmp_path)) and message in text
    assert 'data_list[1]' in text


def test_infos_that_mmdet3d_accepts(tmp_path):
    """Unknown velocities; boxes that nobody reads."""
    dataset = nuscenes(str(tmp_path / 'nuscenes'))
    path = f'{tmp_path}/nuscenes/infos.pkl'
    edit(path, instance(velocity=[NAN, NAN]))
    assert texts(dataset) == []
    edit(path, instance(bbox_label_3d=3, bbox_3d=[-1000.] * 3 + [-1.] * 4))
    assert texts(dataset) == []
    dataset = kitti(str(tmp_path / 'kitti'))
    edit(f'{tmp_path}/kitti/infos.pkl',
         info('images', 'CAM0', value=dict(cam2img=np.eye(4))))
    assert texts(dataset) == []


@pytest.mark.parametrize('columns', [3, 5, 6])
def test_number_of_columns(columns, tmp_path):
    dataset = kitti(str(tmp_path))
    random = np.random.RandomState(0)
    spread = np.array([30, 20, 1, .3, .1, .05][:columns])
    points = random.randn(1200, columns) * spread
    points = points.astype(np.float32)
    points.tofile(f'{tmp_path}/points/1.bin')
    text = only(dataset)
    assert 'points/1.bin: ' in text and '`load_dim`' in text
    assert f'seems to have {columns} values a point, not 4' in text
    points[:1001].tofile(f'{tmp_path}/points/1.bin')
    assert 'no rows of 4 float32' in only(dataset)


def test_points_in_text(tmp_path):
    dataset = kitti(str(tmp_path))
    np.savetxt(f'{tmp_path}/points/1.bin', np.ones((40, 4)), '%.3f')
    assert 'points/1.bin: is a text' in only(dataset)


def test_old_infos(tmp_path):
    dataset = kitti(str(tmp_path))
    edit(f'{tmp_path}/infos.pkl', lambda content: content['data_list'])
    assert 'seems to be of mmdet3d 0.x' in only(dataset)
