# The teacher's network with half of the channels, from scratch.
_base_ = 'gfl_mobilenet-v2_fpn_bccd.py'
model = dict(
    backbone=dict(widen_factor=0.5, init_cfg=None),
    neck=dict(in_channels=[16, 48, 160], out_channels=32),
    bbox_head=dict(in_channels=32, feat_channels=32))
optim_wrapper = dict(optimizer=dict(lr=5e-3))
