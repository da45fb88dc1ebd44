# The same teacher, and the student that has its layers.
_base_ = '../gfl_mobilenet-v2-slim_fpn_bccd.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='configs/bccd/gfl_mobilenet-v2_fpn_bccd.py',
            ckpt='work_dirs/gfl_mobilenet-v2_fpn_bccd/export/student.pth')),
    distillers=dict())
