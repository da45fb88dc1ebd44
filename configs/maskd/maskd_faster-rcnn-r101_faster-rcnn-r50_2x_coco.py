# Faster R-CNN, R101 to R50, on COCO.
# Teacher 39.8, student 38.4, MasKD 41.0 mAP (the authors' figures).
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_2x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::faster_rcnn/faster-rcnn_r101_fpn_2x_coco.py',
            ckpt='official')),
    distillers=dict(
        maskd=dict(
            type='MasKD',
            masks='checkpoints/maskd-tokens_faster-rcnn-r101_2k_coco.pth')))
