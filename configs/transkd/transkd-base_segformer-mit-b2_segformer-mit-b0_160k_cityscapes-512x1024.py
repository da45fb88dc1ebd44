# TransKD-Base, MiT-B2 to MiT-B0 from scratch, on whole images of 512x1024.
# Teacher 76.49, student 55.86, TransKD-Base 68.58 mIoU (the authors' figures,
# against labels at a quarter of the resolution).
_base_ = '_base_/segformer_mit-b0-scratch_8xb1-160k_cityscapes-512x1024.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::segformer/'
            'segformer_mit-b2_8xb1-160k_cityscapes-1024x1024.py',
            ckpt='official')),
    distillers=dict(transkd=dict(type='TransKD')))
