_base_ = 'deeplabv3plus_slim_camvid.py'
method = 'camvid_slim_inherit'
label = "Teacher's weights, narrowed"
distilled = dict(config='configs/camvid/inherit_deeplabv3plus-mobilenet-v2_'
                 'deeplabv3plus-mobilenet-v2-slim_camvid.py')
distilled_grid = {'optim_wrapper.optimizer.lr': [2e-3, 5e-3, 1e-2]}
