# One image of 96 x 312, through the backbone of the layout of nuScenes, read
# at stride 8 by voxels of four heights.
_base_ = 'bev_scenes-kitti.py'
from mmkd.utils.config import parts_of  # noqa: E402

model = dict(
    parts_of('{{fileDirname}}/bev-camera_scenes-nuscenes.py',
             'data_preprocessor', 'img_backbone', 'img_neck'),
    view_transform=dict(
        type='mmkd.SamplingViewTransform',
        in_channels=64,
        out_channels=16,
        point_cloud_range={{_base_.grid_range}},
        voxel_size=[0.6, 0.6, 1],
        depth=dict(low=2, high=42, num=40, mode='LID'),
        ignore_bin=True),
    img_bev_encoder=dict(
        type='mmkd.HeightCollapse', in_channels=64, out_channels=32))
