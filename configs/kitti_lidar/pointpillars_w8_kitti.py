# The student: a quarter of the teacher's width.
_base_ = 'pointpillars_w32_kitti.py'
model = dict(
    voxel_encoder=dict(feat_channels=[8]),
    middle_encoder=dict(in_channels=8),
    backbone=dict(in_channels=8, out_channels=[8, 16, 32]),
    neck=dict(in_channels=[8, 16, 32], out_channels=[8, 8, 8]),
    bbox_head=dict(in_channels=24, feat_channels=24))
