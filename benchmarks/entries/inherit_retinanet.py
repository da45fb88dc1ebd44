_base_ = 'retinanet_scenes.py'
method = 'inherit_retinanet'
label = "Teacher's weights, narrowed"
distilled = dict(config='configs/demo/inherit'
                 '_retinanet-r18w32_retinanet-r18w8_scenes.py')
distilled_grid = {'optim_wrapper.optimizer.lr': [2e-3, 5e-3]}
