_base_ = 'bev-residual_scenes-kitti.py'
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
            cfg='{{fileDirname}}/bev-lidar_scenes-kitti.py',
            ckpt='work_dirs/bev-lidar_scenes-kitti/export/student.pth'),
        assistant=dict(
            cfg='{{fileDirname}}/bev-assistant_scenes-kitti.py',
            ckpt='work_dirs/monotakd-assistant_bev-lidar_bev-assistant'
            '_scenes-kitti/export/student.pth')),
    distillers=dict(monotakd=dict(type='MonoTAKD')))
