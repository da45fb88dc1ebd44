# ReviewKD++: Faster R-CNN, R101 to R18, on COCO.
_base_ = '_base_/faster-rcnn_r18_fpn_4xb2-ms-1x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::faster_rcnn/faster-rcnn_r101_fpn_2x_coco.py',
            ckpt='official')),
    distillers=dict(
        nd=dict(
            type='ND',
            variant='review',
            mean_iters=30000,
            weights=dict(nd=1.5, review=1.2))))
