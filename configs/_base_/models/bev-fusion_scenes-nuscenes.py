# The parts of bev-camera and bev-lidar, one map of both.
_base_ = 'bev-camera_scenes-nuscenes.py'
from mmkd.utils.config import parts_of  # noqa: E402

model = dict(
    parts_of('{{fileDirname}}/bev-lidar_scenes-nuscenes.py',
             'data_preprocessor', 'pts_voxel_encoder', 'pts_middle_encoder',
             'pts_backbone'),
    fusion_layer=dict(
        type='mmkd.ConvFuser',
        in_channels=[32, 32],
        out_channels=32,
        norm_cfg={{_base_.norm_cfg}}))
