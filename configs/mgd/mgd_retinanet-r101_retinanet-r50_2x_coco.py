# RetinaNet, R101 to R50, on COCO.
# Teacher 38.9, student 37.4 mAP; the authors took an X101 teacher.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::retinanet/retinanet_r101_fpn_2x_coco.py',
            ckpt='official')),
    distillers=dict(mgd=dict(type='MGD')))
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
custom_hooks = [dict(type='mmkd.InheritTeacherHook')]
