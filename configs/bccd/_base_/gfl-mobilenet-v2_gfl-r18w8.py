# Teacher and student; the recipes add the method, with a weight that is
# calibrated by gradients.
_base_ = '../gfl_r18w8_fpn_bccd.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='configs/bccd/gfl_mobilenet-v2_fpn_bccd.py',
            ckpt='work_dirs/gfl_mobilenet-v2_fpn_bccd/export/student.pth')),
    distillers=dict())
