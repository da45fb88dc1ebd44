# The student of the segmentation demo: 0.2 M parameters.
_base_ = [
    '../_base_/models/deeplabv3plus_r18w8-d16.py',
    '../_base_/datasets/scenes_segmentation.py',
    '../_base_/schedules/scenes_segmentation.py'
]
