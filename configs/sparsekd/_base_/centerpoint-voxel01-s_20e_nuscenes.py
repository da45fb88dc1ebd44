# Half of the channels of the map and of the head; as many of the voxels.
_base_ = 'mmdet3d::centerpoint/centerpoint_voxel01_second_secfpn_head-circlenms_8xb4-cyclic-20e_nus-3d.py'
model = dict(
    pts_backbone=dict(out_channels=[64, 128]),
    pts_neck=dict(in_channels=[64, 128], out_channels=[128, 128]),
    pts_bbox_head=dict(
        in_channels=256,
        share_conv_channel=32,
        separate_head=dict(head_conv=32)))
