_base_ = 'pointpillars_kitti.py'
method = 'kitti_xray'
label = 'X-Ray, same scans'
distilled = dict(config='configs/kitti_lidar/xray'
                 '_pointpillars-w32_pointpillars-w8_kitti.py')
distilled_grid = {'model.distillers.xray.loss_weight.ratio': [0.5, 2.0]}
