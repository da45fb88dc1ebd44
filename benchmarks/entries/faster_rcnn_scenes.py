_base_ = 'retinanet_scenes.py'
family = 'faster_rcnn_'
teacher = dict(
    config='configs/demo/faster-rcnn_r18w32_fpn_scenes.py', iters=1000)
student = dict(
    config='configs/demo/faster-rcnn_r18w8_fpn_scenes.py', iters=1000)
