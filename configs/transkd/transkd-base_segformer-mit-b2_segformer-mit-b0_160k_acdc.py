# TransKD-Base, MiT-B2 to MiT-B0 from scratch, on ACDC.
# Teacher 69.34, student 46.26, TransKD-Base 58.56 mIoU (the authors' figures,
# against labels at a quarter of the resolution).
_base_ = '_base_/segformer_mit-b0-scratch_8xb1-160k_acdc-512x1024.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/_base_/'
            'segformer_mit-b2_8xb1-160k_acdc-512x1024.py',
            ckpt='checkpoints/segformer_mit-b2_160k_acdc.pth')),
    distillers=dict(transkd=dict(type='TransKD')))
