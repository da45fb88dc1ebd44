# LAD: HRNet-W18s on Pascal Context 59, from its copy that sees noisy labels.
_base_ = '_base_/fcn_hr18s_4xb4-80k_pascal-context-59-480x480.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/_base_/'
            'fcn_hr18s-label_4xb4-80k_pascal-context-59-480x480.py',
            ckpt='checkpoints/'
            'fcn_hr18s-label_4xb4-80k_pascal-context-59-480x480.pth')),
    distillers=dict(cwd=dict(type='CWD')))
