# The parts of bev-camera and bev-lidar, and a gated fusion of their maps.
_base_ = 'bev-camera_model.py'
from mmkd.utils.config import parts_of  # noqa: E402

model = dict(
    parts_of('{{fileDirname}}/bev-lidar_model.py', 'data_preprocessor',
             'pts_voxel_encoder', 'pts_middle_encoder'),
    fusion_layer=dict(
        type='mmkd.ConvFuser',
        in_channels=[256, 256],
        out_channels=256,
        gate=True))
