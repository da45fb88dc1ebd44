_base_ = 'yolox_slim_coco_small.py'
method = 'coco_slim_inherit'
label = "Teacher's weights, narrowed"
distilled = dict(
    config='configs/coco_small/inherit_yolox-nano_yolox-slim_coco-small.py')
distilled_grid = {'optim_wrapper.optimizer.lr': [2e-3, 5e-3, 1e-2]}
