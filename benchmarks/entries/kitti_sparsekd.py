_base_ = 'pointpillars_kitti.py'
method = 'kitti_sparsekd'
label = "SparseKD, from the teacher's weights"
distilled = dict(config='configs/kitti_lidar/sparsekd'
                 '_pointpillars-w32_pointpillars-w8_kitti.py')
# At a weight of 1, the teacher's boxes count as labels.
distilled_grid = {'model.distillers.sparsekd.loss_weight': [0.3, 1.0]}
