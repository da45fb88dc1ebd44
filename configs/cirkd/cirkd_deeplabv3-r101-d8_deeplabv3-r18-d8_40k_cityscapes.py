# CIRKD: DeepLabV3, R101 to R18, on Cityscapes.
# Teacher 78.07, student 74.21, CIRKD 76.38 mIoU (the authors' figures).
_base_ = '_base_/deeplabv3_r18-d8_8xb2-40k_cityscapes-512x1024.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::deeplabv3/'
            'deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py',
            ckpt='official')),
    distillers=dict(
        kd=dict(type='LogitsKD'),
        cirkd=dict(type='CIRKD', norm_cfg=dict(type='SyncBN'))))
