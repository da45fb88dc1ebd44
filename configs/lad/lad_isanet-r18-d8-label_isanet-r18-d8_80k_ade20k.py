# LAD: ISANet-R18 on ADE20K, from its copy that sees noisy labels.
_base_ = '_base_/isanet_r18-d8_4xb4-80k_ade20k-512x512.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/_base_/'
            'isanet_r18-d8-label_4xb4-80k_ade20k-512x512.py',
            ckpt='checkpoints/'
            'isanet_r18-d8-label_4xb4-80k_ade20k-512x512.pth')),
    distillers=dict(cwd=dict(type='CWD')))
