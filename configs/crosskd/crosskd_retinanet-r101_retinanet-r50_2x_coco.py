# RetinaNet, R101 to R50, on COCO.
# Teacher 38.9, student 37.4, CrossKD 39.7 mAP (the authors' figures).
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::retinanet/retinanet_r101_fpn_2x_coco.py',
            ckpt='official')),
    distillers=dict(crosskd=dict(type='CrossKD')))
