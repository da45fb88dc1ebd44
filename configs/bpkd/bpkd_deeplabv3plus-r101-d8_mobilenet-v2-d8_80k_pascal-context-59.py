# DeepLabV3+, R101 to MobileNetV2, on Pascal Context 59.
# Teacher 53.20, student 41.01, BPKD 46.23 mIoU (the authors' figures).
_base_ = [
    '_base_/'
    'mobilenet-v2-d8_deeplabv3plus_4xb4-80k_pascal-context-59-480x480.py'
]
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::deeplabv3plus/'
            'deeplabv3plus_r101-d8_4xb4-80k_pascal-context-59-480x480.py',
            ckpt='official')),
    distillers=dict(bpkd=dict(type='BPKD')))
