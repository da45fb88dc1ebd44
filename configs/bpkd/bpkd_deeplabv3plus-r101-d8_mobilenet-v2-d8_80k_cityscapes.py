# DeepLabV3+, R101 to MobileNetV2, on Cityscapes.
# Teacher 80.98, student 75.29, BPKD 78.59 mIoU (the authors' figures).
_base_ = [
    'mmseg::mobilenet_v2/'
    'mobilenet-v2-d8_deeplabv3plus_4xb2-80k_cityscapes-512x1024.py'
]
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::deeplabv3plus/'
            'deeplabv3plus_r101-d8_4xb2-80k_cityscapes-512x1024.py',
            ckpt='official')),
    distillers=dict(bpkd=dict(type='BPKD')))
