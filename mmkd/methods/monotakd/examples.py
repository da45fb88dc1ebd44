"""MonoTAKD on tiny networks, for the tests: both of its stages."""
from mmkd.testing.bev import bev_batch, bev_detector
from mmkd.testing.examples import MethodExample, example


def _teacher() -> dict:
    return bev_detector(camera=False, lidar=True)


def _assistant() -> dict:
    return bev_detector(
        img_bev_encoder=dict(
            type='mmkd.HeightCollapse', in_channels=8, out_channels=8),
        depth_source='points',
        depth_pooling='mean')


def _student() -> dict:
    return bev_detector(
        img_bev_encoder=dict(
            type='mmkd.ResidualBranches',
            in_channels=8,
            out_channels=8,
            alignment=dict(hidden_channels=4, dilations=(1, 2))))


def _first_stage() -> MethodExample:
    return example(_assistant(), _teacher(),
                   dict(type='MonoTAKDAssistant', head='center'), bev_batch)


def _second_stage() -> MethodExample:
    return example(
        _student(),
        _teacher(),
        dict(type='MonoTAKD', head='center'),
        bev_batch,
        assistant=_assistant(),
        not_zero=dict(
            intra="the teacher's map is that of the whole encoder",
            residual='of equal maps there is no residual'))


RECIPE = 'monotakd/monotakd_bev-lidar_bev-residual_10e_kitti.py'
EXAMPLES = dict(monotakd=_second_stage, monotakd_assistant=_first_stage)
