# PointPillars with FPN on nuScenes, taught by itself on object-complete frames.
_base_ = 'mmdet3d::pointpillars/pointpillars_hv_fpn_sbn-all_8xb4-2x_nus-3d.py'
from mmkd.methods.xray.data.pipelines import \
    with_complete_objects  # noqa: E402

train_dataloader = with_complete_objects(_base_.train_dataloader)  # noqa: F821
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/_base_/'
            'pointpillars-fpn-complete_2x_nuscenes.py',
            ckpt='work_dirs/pointpillars-fpn-complete_2x_nuscenes/'
            'export/student.pth',
            input_map={'inputs.points': 'inputs.points_teacher'})),
    distillers=dict(xray=dict(type='XRay')))
