# Shared by the methods with a camera student in bird's-eye view. Learning rate
# and weight of the methods are not tuned: one value each.
_base_ = ['bev_scenes.py', 'pretrained_camera.py']
# Of ten classes, cameras this small find little besides cars.
metric = 'NuScenes metric/pred_instances_3d_NuScenes/car_AP_dist_2.0'
more_metrics = dict(
    mAP='NuScenes metric/pred_instances_3d_NuScenes/mAP',
    NDS='NuScenes metric/pred_instances_3d_NuScenes/NDS')
family = 'bev-camera_'
formats = ['nuscenes', 'cityscapes', 'coco']
student = dict(
    iters=1200, pretrained=True, options={{_base_.shared.camera_options}})
tuning_iters = 1200
student_grid = {{_base_.shared.camera_grid}}
