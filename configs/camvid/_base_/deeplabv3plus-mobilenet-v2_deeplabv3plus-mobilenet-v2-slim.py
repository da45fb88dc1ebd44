# The same teacher, and the student that has its layers.
_base_ = '../deeplabv3plus_mobilenet-v2-slim-d16_camvid.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='configs/camvid/deeplabv3plus_mobilenet-v2-d16_camvid.py',
            ckpt='work_dirs/deeplabv3plus_mobilenet-v2-d16_camvid/export/'
            'student.pth')),
    distillers=dict())
