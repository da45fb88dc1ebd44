_base_ = 'deeplabv3plus_scenes.py'
method = 'bpkd'
distilled = dict(config='configs/demo/'
                 'bpkd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.bpkd.loss_weight': [0.005, 0.03]}
