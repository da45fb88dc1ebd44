_base_ = '_base_/bev-residual_soft.py'
train_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.train_pipeline}},
        modality=dict(use_lidar=True, use_camera=True)))
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/bev-lidar_8xb4-80e_kitti.py',
            ckpt='work_dirs/bev-lidar_8xb4-80e_kitti/epoch_80.pth'),
        assistant=dict(
            cfg='{{fileDirname}}/bev-assistant_1xb1-10e_kitti.py',
            ckpt='work_dirs/monotakd-assistant_bev-lidar_bev-assistant'
            '_10e_kitti/export/student.pth')),
    distillers=dict(monotakd=dict(type='MonoTAKD')))
custom_hooks = [
    dict(
        type='mmkd.InheritTeacherHook',
        teacher='teacher',
        modules=['bev_backbone', 'bev_neck', 'bbox_head'])
]
