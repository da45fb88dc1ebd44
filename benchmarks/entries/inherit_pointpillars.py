_base_ = 'pointpillars_scenes.py'
method = 'inherit_pointpillars'
label = "Teacher's weights, narrowed"
distilled = dict(config='configs/demo/inherit'
                 '_pointpillars-w32_pointpillars-w8_scenes-kitti.py')
distilled_grid = {'optim_wrapper.optimizer.lr': [3e-3, 1e-2]}
