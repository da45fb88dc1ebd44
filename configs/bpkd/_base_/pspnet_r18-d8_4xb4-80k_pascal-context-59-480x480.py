# PSPNet-R18 on Pascal Context: mmseg's PSPNet-R50 with the smaller backbone.
_base_ = 'mmseg::pspnet/pspnet_r50-d8_4xb4-80k_pascal-context-59-480x480.py'
model = dict(
    pretrained='open-mmlab://resnet18_v1c',
    backbone=dict(depth=18),
    decode_head=dict(in_channels=512, channels=128),
    auxiliary_head=dict(in_channels=256, channels=64))
