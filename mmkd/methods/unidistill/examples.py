"""UniDistill on tiny networks, for the tests."""
from mmkd.testing.bev import BEV_RANGE, bev_batch, bev_detector
from mmkd.testing.examples import MethodExample, example

_SENSORS = dict(
    camera=dict(camera=True),
    lidar=dict(camera=False, lidar=True),
    fusion=dict(camera=True, lidar=True))


def _across(path: str, **not_zero: str) -> MethodExample:
    teacher, student = path.split('2')
    return example(
        bev_detector(**_SENSORS[student]),
        bev_detector(**_SENSORS[teacher]),
        dict(type='UniDistill', path=path, point_cloud_range=BEV_RANGE),
        bev_batch,
        not_zero=not_zero,
        zero_without_objects=('feature', 'relation', 'response_cls',
                              'response_reg'))


RECIPE = 'unidistill/unidistill_bev-lidar_bev-camera_20e_nuscenes.py'
EXAMPLES = dict(
    unidistill_lidar2camera=lambda: _across('lidar2camera'),
    unidistill_camera2lidar=lambda: _across(
        'camera2lidar',
        feature='the connectors map the features of the student alone',
        relation='the connectors map the features of the student alone'),
    unidistill_fusion2lidar=lambda: _across('fusion2lidar'))
