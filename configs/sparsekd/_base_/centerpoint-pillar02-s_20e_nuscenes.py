# Half of the channels of the map and of the head.
_base_ = 'mmdet3d::centerpoint/centerpoint_pillar02_second_secfpn_head-circlenms_8xb4-cyclic-20e_nus-3d.py'
model = dict(
    pts_backbone=dict(out_channels=[32, 64, 128]),
    pts_neck=dict(in_channels=[32, 64, 128], out_channels=[64, 64, 64]),
    pts_bbox_head=dict(
        in_channels=192,
        share_conv_channel=32,
        separate_head=dict(head_conv=32)))
