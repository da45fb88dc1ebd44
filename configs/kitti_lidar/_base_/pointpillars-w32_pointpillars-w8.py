# Teacher and student of the recipes, which add the method.
_base_ = '../pointpillars_w8_kitti.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='configs/kitti_lidar/pointpillars_w32_kitti.py',
            ckpt='work_dirs/pointpillars_w32_kitti/export/student.pth')),
    distillers=dict())
