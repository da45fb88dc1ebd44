# ISANet, R101 to R18, on Pascal Context 59.
# Teacher 53.41, student 44.05, BPKD 47.25 mIoU (the authors' figures).
# 80k steps as the name of the authors' config says; it inherits 40k.
# mmseg publishes no weights of the teacher: train the config below and put
# its checkpoint where `ckpt` says.
_base_ = '_base_/isanet_r18-d8_4xb4-80k_pascal-context-59-480x480.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{ fileDirname }}/_base_/'
            'isanet_r101-d8_4xb4-80k_pascal-context-59-512x512.py',
            ckpt='checkpoints/isanet_r101-d8_80k_pascal-context-59.pth')),
    distillers=dict(bpkd=dict(type='BPKD')))
