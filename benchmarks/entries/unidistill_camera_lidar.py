_base_ = ['bev_scenes.py', 'pretrained_camera.py']
family = 'bev-lidar_'
# The camera detector that is the student of the other two paths.
teacher_family = 'bev-camera_'
method = 'unidistill_camera_lidar'
label = 'UniDistill, camera to LiDAR'
formats = ['nuscenes', 'cityscapes', 'coco']
teacher = dict(
    config='configs/demo/bev-camera_scenes-nuscenes.py',
    iters=1200,
    pretrained=True,
    options={{_base_.shared.camera_recipe}})
student = dict(config='configs/demo/bev-lidar_scenes-nuscenes.py', iters=500)
student_grid = {'optim_wrapper.optimizer.lr': [3e-3]}
distilled = dict(config='configs/demo/unidistill'
                 '_bev-camera_bev-lidar_scenes-nuscenes.py')
# With the learning rate of the student alone.
distilled_grid = {'model.distillers.unidistill.loss_weight': [1.0]}
