# Faster R-CNN R50 with one box code for all classes, as in a cascade.
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_2x_coco.py'
model = dict(roi_head=dict(bbox_head=dict(reg_class_agnostic=True)))
