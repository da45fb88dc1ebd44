_base_ = 'gfl_slim_bccd.py'
method = 'bccd_slim_inherit'
label = "Teacher's weights, narrowed"
distilled = dict(config='configs/bccd/inherit_gfl-mobilenet-v2_'
                 'gfl-mobilenet-v2-slim_bccd.py')
distilled_grid = {'optim_wrapper.optimizer.lr': [2e-3, 5e-3, 1e-2]}
