# The student of the segmentation demo: 0.2 M parameters.
_base_ = [
    '../_base_/models/deeplabv3plus_r18w8-d16.py',
    '../_base_/datasets/scenes_segmentation.py',
    '../_base_/schedules/scenes_segmentation.py'
]
# The best of 2e-3, 5e-3 and 1e-2 on the validation scenes.
optim_wrapper = dict(optimizer=dict(lr=1e-2))
