# RepPoints, X101-DCN to R50, on COCO.
# Teacher 44.2, student 38.6, FGD 42.0 mAP (the authors' figures).
_base_ = 'mmdet::reppoints/reppoints-moment_r50_fpn-gn_head-gn_2x_coco.py'
# The convolutions of the neck, before its normalisation.
taps = [f'neck.fpn_convs.{level}.conv' for level in range(5)]
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::reppoints/'
            'reppoints-moment_x101-dconv-c3-c5_fpn-gn_head-gn_2x_coco.py',
            ckpt='official')),
    distillers=dict(
        fgd=dict(type='FGD', preset='reppoints', student=taps, teacher=taps)))
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
custom_hooks = [dict(type='mmkd.InheritTeacherHook')]
