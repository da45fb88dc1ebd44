_base_ = 'pointpillars_kitti.py'
method = 'kitti_feature_kd'
distilled = dict(config='configs/kitti_lidar/feature-kd'
                 '_pointpillars-w32_pointpillars-w8_kitti.py')
distilled_grid = {'model.distillers.feature_kd.loss_weight.ratio': [0.5, 2.0]}
