# RepPoints, R101 to R50, on COCO.
# Teacher 40.5, student 38.6, ACAM-KD 42.5 mAP (the authors' figures).
_base_ = 'mmdet::reppoints/reppoints-moment_r50_fpn-gn_head-gn_2x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::reppoints/'
            'reppoints-moment_r101_fpn-gn_head-gn_2x_coco.py',
            ckpt='official')),
    distillers=dict(acam=dict(type='ACAM')))
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
custom_hooks = [dict(type='mmkd.InheritTeacherHook')]
