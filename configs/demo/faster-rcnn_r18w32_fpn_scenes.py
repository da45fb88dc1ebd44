_base_ = [
    '../_base_/models/faster-rcnn_r18w32_fpn.py',
    '../_base_/datasets/scenes_detection.py',
    '../_base_/schedules/scenes_detection.py'
]
