# CenterPoint on voxels of 0.1 m on nuScenes, taught by itself on object-complete frames.
_base_ = 'mmdet3d::centerpoint/centerpoint_voxel01_second_secfpn_head-circlenms_8xb4-cyclic-20e_nus-3d.py'
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
            'centerpoint-voxel01-complete_20e_nuscenes.py',
            ckpt='work_dirs/centerpoint-voxel01-complete_20e_nuscenes/'
            'export/student.pth',
            input_map={'inputs.points': 'inputs.points_teacher'})),
    distillers=dict(xray=dict(type='XRay')))
