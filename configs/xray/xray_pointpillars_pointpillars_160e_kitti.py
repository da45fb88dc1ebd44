# PointPillars on KITTI, taught by itself on object-complete frames.
_base_ = 'mmdet3d::pointpillars/pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class.py'
from mmkd.methods.xray.data.pipelines import \
    with_complete_objects  # noqa: E402

train_dataloader = with_complete_objects(
    _base_.train_dataloader, database=True)  # noqa: F821
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/_base_/'
            'pointpillars-complete_160e_kitti.py',
            ckpt='work_dirs/pointpillars-complete_160e_kitti/'
            'export/student.pth',
            input_map={'inputs.points': 'inputs.points_teacher'})),
    distillers=dict(xray=dict(type='XRay')))
