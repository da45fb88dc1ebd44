_base_ = 'centerpoint-pillar_w32_scenes-nuscenes.py'
model = dict(
    pts_voxel_encoder=dict(feat_channels=[8]),
    pts_middle_encoder=dict(in_channels=8),
    pts_backbone=dict(in_channels=8, out_channels=[8, 16, 32]),
    pts_neck=dict(in_channels=[8, 16, 32], out_channels=[8, 8, 8]),
    pts_bbox_head=dict(
        in_channels=24, share_conv_channel=16,
        separate_head=dict(head_conv=8)))
