# TransKD-Base, MiT-B2 to MiT-B0 from scratch, on the 40 classes of NYUv2.
_base_ = '_base_/segformer_mit-b0-scratch_8xb2-40k_nyuv2-480x480.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/_base_/'
            'segformer_mit-b2_8xb2-40k_nyuv2-480x480.py',
            ckpt='checkpoints/segformer_mit-b2_40k_nyuv2.pth')),
    distillers=dict(transkd=dict(type='TransKD')))
