# The teacher: MobileNetV2, trained on ImageNet.
_base_ = 'gfl_r18w8_fpn_bccd.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(2, 4, 6),
        norm_cfg=dict(type='BN', requires_grad=True),
        init_cfg=dict(
            type='Pretrained', checkpoint='{{$MOBILENETV2:mobilenetv2.pth}}')),
    neck=dict(in_channels=[32, 96, 320], out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
