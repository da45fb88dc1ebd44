# The student, from scratch. At half of their size, platelets have about 20
# pixels, red cells 50 and white cells 110.
_base_ = [
    '../_base_/models/gfl_r18w8_fpn.py', '../_base_/datasets/bccd.py',
    '../_base_/schedules/scenes_detection.py'
]
model = dict(
    backbone=dict(out_indices=(1, 2, 3)),
    neck=dict(in_channels=[16, 32, 64], num_outs=3),
    bbox_head=dict(num_classes=3, anchor_generator=dict(strides=[8, 16, 32])))
