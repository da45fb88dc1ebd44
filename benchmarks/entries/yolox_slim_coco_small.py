# The student that starts from the teacher's backbone, which learns faster.
_base_ = 'yolox_coco_small.py'
family = 'coco_slim_'
student = dict(
    config='configs/coco_small/yolox-slim_coco-small.py',
    iters=3000,
    options={
        'model.backbone.init_cfg.checkpoint':
        '{root}/../weights/yolox_nano_mmdet.pth'
    })
tuning_iters = 1500
