# Stage 1 of MasKD: receptive tokens of Faster R-CNN R101, on COCO.
_base_ = './maskd-tokens_retinanet-r101_2k_coco.py'
model = dict(
    teacher=dict(cfg='mmdet::faster_rcnn/faster-rcnn_r101_fpn_2x_coco.py'))
