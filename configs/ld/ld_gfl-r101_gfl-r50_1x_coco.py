# GFL, R101 to R50, on COCO.
# Teacher 44.9, student 40.1, LD 42.1 mAP (the authors' figures).
_base_ = 'mmdet::gfl/gfl_r50_fpn_1x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::gfl/gfl_r101_fpn_ms-2x_coco.py', ckpt='official')),
    distillers=dict(ld=dict(type='LD')))
