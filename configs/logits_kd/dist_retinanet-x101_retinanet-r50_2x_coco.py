# DIST on the class scores of RetinaNet, X101-64x4d to R50, on COCO.
# Teacher 41.0, student 37.4, DIST 39.8 mAP (the authors' figures).
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::retinanet/retinanet_x101-64x4d_fpn_1x_coco.py',
            ckpt='official')),
    distillers=dict(
        dist=dict(type='LogitsKD', place='dense_logits', divergence='dist')))
