# FCOS X101-64x4d to RetinaNet R50, on COCO.
# Teacher 42.6, student 36.5, PKD 40.3 mAP (the authors' figures).
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::fcos/fcos_x101-64x4d_fpn_gn-head_ms-640-800-2x_coco.py',
            ckpt='official')),
    distillers=dict(pkd=dict(type='PKD', loss_weight=10.0)))
