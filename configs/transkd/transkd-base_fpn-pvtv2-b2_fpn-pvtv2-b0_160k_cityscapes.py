# TransKD-Base, PVTv2-B2 to PVTv2-B0 from scratch, each under a semantic FPN.
_base_ = '_base_/fpn_pvtv2-b0-scratch_8xb1-160k_cityscapes-1024x1024.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/_base_/'
            'fpn_pvtv2-b2_8xb1-160k_cityscapes-1024x1024.py',
            ckpt='checkpoints/fpn_pvtv2-b2_160k_cityscapes.pth')),
    distillers=dict(transkd=dict(type='TransKD')))
