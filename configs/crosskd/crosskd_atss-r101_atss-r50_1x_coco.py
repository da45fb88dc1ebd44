# ATSS, R101 to R50, on COCO.
# Teacher 41.5, student 39.4, CrossKD 41.8 mAP (the authors' figures).
_base_ = 'mmdet::atss/atss_r50_fpn_1x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::atss/atss_r101_fpn_1x_coco.py', ckpt='official')),
    distillers=dict(crosskd=dict(type='CrossKD')))
