# DeepLabV3, R101 to R18, on Cityscapes.
# Teacher 78.07, MasKD 77.00 mIoU (the authors' figures).
_base_ = './_base_/deeplabv3_r18-d8_4xb4-40k_cityscapes-512x1024.py'
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
        maskd=dict(
            type='MasKD',
            masks='checkpoints/'
            'maskd-tokens_deeplabv3-r101-d8_10k_cityscapes.pth')))
