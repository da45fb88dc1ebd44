_base_ = 'bev-residual_scenes-nuscenes.py'
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
            cfg='{{fileDirname}}/bev-lidar_scenes-nuscenes.py',
            ckpt='work_dirs/bev-lidar_scenes-nuscenes/export/student.pth'),
        assistant=dict(
            cfg='{{fileDirname}}/bev-assistant_scenes-nuscenes.py',
            ckpt='work_dirs/monotakd-assistant_bev-lidar_bev-assistant'
            '_scenes-nuscenes/export/student.pth')),
    distillers=dict(monotakd=dict(type='MonoTAKD', head='center')))
