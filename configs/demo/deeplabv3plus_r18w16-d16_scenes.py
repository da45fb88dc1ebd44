# The teacher of the quick demo: 0.8 M parameters, which come with mmkd.
_base_ = [
    '../_base_/models/deeplabv3plus_r18w16-d16.py',
    '../_base_/datasets/scenes_segmentation.py',
    '../_base_/schedules/scenes_segmentation.py'
]
optim_wrapper = dict(optimizer=dict(lr=5e-3))
