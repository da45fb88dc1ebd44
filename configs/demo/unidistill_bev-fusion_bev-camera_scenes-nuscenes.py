_base_ = 'bev-camera_scenes-nuscenes.py'
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
            cfg='{{fileDirname}}/bev-fusion_scenes-nuscenes.py',
            ckpt='work_dirs/bev-fusion_scenes-nuscenes/export/student.pth')),
    distillers=dict(
        unidistill=dict(
            type='UniDistill',
            path='fusion2camera',
            point_cloud_range={{_base_.grid_range}},
            # The fused map is the output of a ReLU, the camera's is not.
            connector=dict(type='ConvConnector'),
            min_radius=1)))
