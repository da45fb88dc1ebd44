_base_ = 'retinanet_scenes.py'
family = 'faster_rcnn_'
teacher = dict(
    config='configs/demo/faster-rcnn_r18w32_fpn_scenes.py', iters=2000)
# Shorter trainings say nothing: after 1650 iterations, the student alone has
# hardly begun to learn.
student = dict(
    config='configs/demo/faster-rcnn_r18w8_fpn_scenes.py', iters=4000)
tuning_iters = 1500
