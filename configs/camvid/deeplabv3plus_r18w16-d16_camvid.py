# 0.8 M parameters, from scratch.
_base_ = [
    '../_base_/models/deeplabv3plus_r18w16-d16.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/scenes_segmentation.py'
]
model = dict(
    data_preprocessor=dict(size=(176, 240)), decode_head=dict(num_classes=11))
