# CenterPoint on voxels of 0.1 m on nuScenes: S of the paper.
_base_ = '_base_/centerpoint-voxel01-s_20e_nuscenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet3d::centerpoint/'
            'centerpoint_voxel01_second_secfpn_head-circlenms_8xb4-cyclic-20e_nus-3d.py',
            ckpt='official')),
    distillers=dict(sparsekd=dict(type='SparseKD')))
custom_hooks = [
    dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)
]
