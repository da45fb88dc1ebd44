# DIST: DeepLabV3-R101 to PSPNet-R18 on Cityscapes, with the authors' settings.
# Teacher 78.07, student 72.55, DIST 76.31 mIoU (the authors' figures).
_base_ = './_base_/pspnet_r18-d8_8xb2-40k_cityscapes-512x1024.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::deeplabv3/'
            'deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py',
            ckpt='official')),
    distillers=dict(dist=dict(type='LogitsKD', divergence='dist')))
