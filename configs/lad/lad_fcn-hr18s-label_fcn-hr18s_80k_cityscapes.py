# LAD: HRNet-W18s on Cityscapes, from its copy that sees noisy labels.
_base_ = '_base_/fcn_hr18s_4xb2-80k_cityscapes-512x1024.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/_base_/'
            'fcn_hr18s-label_4xb2-80k_cityscapes-512x1024.py',
            ckpt='checkpoints/'
            'fcn_hr18s-label_4xb2-80k_cityscapes-512x1024.pth')),
    distillers=dict(cwd=dict(type='CWD')))
