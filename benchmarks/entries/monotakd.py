_base_ = 'pointpillars_scenes.py'
task = 'camera detection, KITTI'
method = 'monotakd'
family = 'bev-lidar_bev-residual_kitti_'
formats = ['kitti', 'cityscapes', 'coco']
# Cars, at an overlap of 0.5: at the strict one, of 0.7, a camera this small
# finds next to nothing.
metric = 'Kitti metric/pred_instances_3d/KITTI/Car_3D_AP40_moderate_loose'
more_metrics = dict(
    bev='Kitti metric/pred_instances_3d/KITTI/Car_BEV_AP40_moderate_loose',
    overall='Kitti metric/pred_instances_3d/KITTI/Overall_3D_AP40_moderate')
teacher = dict(config='configs/demo/bev-lidar_scenes-kitti.py', iters=800)
# As in bev_camera_scenes.py: from nothing, a camera network learns too little.
pretrained = dict(
    entry='retinanet_scenes', prefix='backbone.', module='img_backbone')
more_teachers = dict(
    assistant=dict(
        config='configs/demo/monotakd-assistant'
        '_bev-lidar_bev-assistant_scenes-kitti.py',
        iters=1000,
        pretrained=True,
        options={
            'train_dataloader.batch_size': 2,
            'optim_wrapper.optimizer.lr': 5e-3,
            'model.student.img_backbone.base_channels': 32,
            'model.student.img_backbone.stem_channels': 32,
            'model.student.img_backbone.frozen_stages': 1,
            'model.student.img_neck.in_channels': [64, 128]
        }))
student = dict(
    config='configs/demo/bev-residual_scenes-kitti.py',
    iters=1000,
    pretrained=True,
    options={
        'train_dataloader.batch_size': 2,
        'model.img_backbone.base_channels': 32,
        'model.img_backbone.stem_channels': 32,
        'model.img_backbone.frozen_stages': 1,
        'model.img_neck.in_channels': [64, 128]
    })
tuning_iters = 1000
student_grid = {'optim_wrapper.optimizer.lr': [5e-3]}
distilled = dict(config='configs/demo/monotakd'
                 '_bev-lidar_bev-residual_scenes-kitti.py')
# With the learning rate of the student alone.
distilled_grid = {'model.distillers.monotakd.loss_weight': [1.0]}
