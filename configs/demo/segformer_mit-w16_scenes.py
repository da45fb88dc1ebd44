# The student for methods between transformers: 0.5 M parameters.
_base_ = [
    '../_base_/models/segformer_mit-w16.py',
    '../_base_/datasets/scenes_segmentation.py',
    '../_base_/schedules/scenes_segmentation.py'
]
