_base_ = ['pointpillars_scenes.py', 'pretrained_camera.py']
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
more_teachers = dict(
    assistant=dict(
        config='configs/demo/monotakd-assistant'
        '_bev-lidar_bev-assistant_scenes-kitti.py',
        iters=1000,
        pretrained=True,
        options={{_base_.shared.camera_recipe}}))
student = dict(
    config='configs/demo/bev-residual_scenes-kitti.py',
    iters=1000,
    pretrained=True,
    options={{_base_.shared.camera_options}})
tuning_iters = 1000
student_grid = {{_base_.shared.camera_grid}}
distilled = dict(config='configs/demo/monotakd'
                 '_bev-lidar_bev-residual_scenes-kitti.py')
# With the learning rate of the student alone.
distilled_grid = {'model.distillers.monotakd.loss_weight': [1.0]}
