# DKD on the class scores of the boxes of Faster R-CNN, R101 to R50, on COCO.
_base_ = '../nd/_base_/faster-rcnn_r50_fpn_4xb2-ms-1x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::faster_rcnn/faster-rcnn_r101_fpn_2x_coco.py',
            ckpt='official')),
    distillers=dict(
        dkd=dict(
            type='LogitsKD',
            place='roi_logits',
            divergence='dkd',
            weights=dict(target=1., non_target=.25))))
