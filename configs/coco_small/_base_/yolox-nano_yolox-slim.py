# The same teacher, and the student that has its backbone.
_base_ = '../yolox-slim_coco-small.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='configs/coco_small/yolox_nano_coco-small.py',
            ckpt='{{$YOLOX_NANO:yolox_nano.pth}}')),
    distillers=dict())
