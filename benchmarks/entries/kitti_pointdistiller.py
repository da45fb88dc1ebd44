_base_ = 'pointpillars_kitti.py'
method = 'kitti_pointdistiller'
distilled = dict(config='configs/kitti_lidar/pointdistiller'
                 '_pointpillars-w32_pointpillars-w8_kitti.py')
distilled_grid = {
    'model.distillers.pointdistiller.loss_weight.ratio': [0.5, 2.0]
}
