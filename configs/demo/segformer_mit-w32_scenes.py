# The teacher for methods between transformers: 3.4 M parameters.
_base_ = [
    '../_base_/models/segformer_mit-w32.py',
    '../_base_/datasets/scenes_segmentation.py',
    '../_base_/schedules/scenes_segmentation.py'
]
optim_wrapper = dict(optimizer=dict(lr=1e-3))
