_base_ = 'deeplabv3plus_scenes.py'
method = 'inherit_segmentation'
label = "Teacher's weights, narrowed"
distilled = dict(config='configs/demo/inherit'
                 '_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py')
distilled_grid = {'optim_wrapper.optimizer.lr': [5e-3, 1e-2]}
