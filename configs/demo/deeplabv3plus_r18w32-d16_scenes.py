# The teacher of the segmentation demo: 3.1 M parameters.
_base_ = [
    '../_base_/models/deeplabv3plus_r18w32-d16.py',
    '../_base_/datasets/scenes_segmentation.py',
    '../_base_/schedules/scenes_segmentation.py'
]
optim_wrapper = dict(optimizer=dict(lr=5e-3))
