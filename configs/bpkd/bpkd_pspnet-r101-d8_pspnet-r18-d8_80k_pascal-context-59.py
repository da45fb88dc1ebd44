# PSPNet, R101 to R18, on Pascal Context 59.
# Teacher 52.47, student 43.79, BPKD 46.82 mIoU (the authors' figures).
_base_ = '_base_/pspnet_r18-d8_4xb4-80k_pascal-context-59-480x480.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::pspnet/'
            'pspnet_r101-d8_4xb4-80k_pascal-context-59-480x480.py',
            ckpt='official')),
    distillers=dict(bpkd=dict(type='BPKD')))
