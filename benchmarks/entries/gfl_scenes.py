# Shared by the methods for GFL: as for RetinaNet, with other networks.
_base_ = 'retinanet_scenes.py'
family = 'gfl_'
teacher = dict(config='configs/demo/gfl_r18w32_fpn_scenes.py')
student = dict(config='configs/demo/gfl_r18w8_fpn_scenes.py')
