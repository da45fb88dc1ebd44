# LAD: DeepLabV3-R18 on Pascal VOC 2012, from its copy that sees noisy labels.
# Student 73.21, LAD 75.0 mIoU (the authors' figures).
_base_ = '_base_/deeplabv3_r18-d8_4xb4-40k_voc12aug-512x512.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/_base_/'
            'deeplabv3_r18-d8-label_4xb4-40k_voc12aug-512x512.py',
            ckpt='checkpoints/'
            'deeplabv3_r18-d8-label_4xb4-40k_voc12aug-512x512.pth')),
    distillers=dict(cwd=dict(type='CWD')))
