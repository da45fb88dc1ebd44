# TransKD-GL, MiT-B2 to MiT-B0 from scratch, with mmseg's SegFormer recipe.
_base_ = '_base_/segformer_mit-b0-scratch_8xb1-160k_cityscapes-1024x1024.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::segformer/'
            'segformer_mit-b2_8xb1-160k_cityscapes-1024x1024.py',
            ckpt='official')),
    distillers=dict(transkd=dict(type='TransKD', variant='gl')))
