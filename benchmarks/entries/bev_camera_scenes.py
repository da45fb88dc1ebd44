# What the methods for a camera student in bird's-eye view share. Learning rate
# and weight of the methods are one value each: not tuned yet.
_base_ = ['bev_scenes.py', 'pretrained_camera.py']
family = 'bev-camera_'
formats = ['nuscenes', 'cityscapes', 'coco']
student = dict(
    iters=1200, pretrained=True, options={{_base_.shared.camera_options}})
tuning_iters = 1200
student_grid = {{_base_.shared.camera_grid}}
