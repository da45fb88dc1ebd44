_base_ = 'deeplabv3plus_camvid.py'
method = 'camvid_dist'
label = 'DIST'
distilled = dict(config='configs/camvid/dist_deeplabv3plus-'
                 'mobilenet-v2_deeplabv3plus-r18w16_camvid.py')
distilled_grid = {'model.distillers.dist.loss_weight.ratio': [0.3, 1.0, 3.0]}
