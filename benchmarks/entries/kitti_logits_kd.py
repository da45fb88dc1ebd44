_base_ = 'pointpillars_kitti.py'
method = 'kitti_logits_kd'
distilled = dict(config='configs/kitti_lidar/logits-kd'
                 '_pointpillars-w32_pointpillars-w8_kitti.py')
distilled_grid = {'model.distillers.logits_kd.loss_weight.ratio': [0.5, 2.0]}
