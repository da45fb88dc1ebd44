# Shared by the methods with a camera student in bird's-eye view. Learning rate
# and weight of the methods are not tuned: one value each.
_base_ = ['bev_scenes.py', 'pretrained_camera.py']
family = 'bev-camera_'
formats = ['nuscenes', 'cityscapes', 'coco']
student = dict(
    iters=1200, pretrained=True, options={{_base_.shared.camera_options}})
tuning_iters = 1200
student_grid = {{_base_.shared.camera_grid}}
