_base_ = 'bev-residual_8xb4-20e_nuscenes.py'
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            pipeline={{_base_.train_pipeline}},
            modality=dict(use_lidar=True, use_camera=True))))
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/../unidistill/bev-lidar_8xb4-20e_nuscenes.py',
            ckpt='work_dirs/bev-lidar_8xb4-20e_nuscenes/epoch_20.pth'),
        assistant=dict(
            cfg='{{fileDirname}}/bev-assistant_8xb4-20e_nuscenes.py',
            ckpt='work_dirs/monotakd-assistant_bev-lidar_bev-assistant'
            '_20e_nuscenes/export/student.pth')),
    distillers=dict(monotakd=dict(type='MonoTAKD', head='center')))
custom_hooks = [
    dict(
        type='mmkd.InheritTeacherHook',
        teacher='teacher',
        modules=['bev_backbone', 'bev_neck', 'bbox_head'])
]
