# Faster R-CNN, R101 to R50, on COCO.
# Teacher 39.8, student 38.4 mAP; the authors took a Cascade Mask R-CNN.
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_2x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::faster_rcnn/faster-rcnn_r101_fpn_2x_coco.py',
            ckpt='official')),
    distillers=dict(mgd=dict(type='MGD', preset='two_stage')))
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
custom_hooks = [dict(type='mmkd.InheritTeacherHook')]
