_base_ = 'deeplabv3plus_camvid.py'
method = 'camvid_cirkd'
distilled = dict(config='configs/camvid/cirkd_deeplabv3plus-'
                 'mobilenet-v2_deeplabv3plus-r18w16_camvid.py')
distilled_grid = {'model.distillers.cirkd.loss_weight.ratio': [0.3, 1.0, 3.0]}
