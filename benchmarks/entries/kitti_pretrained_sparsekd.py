_base_ = ['kitti_sparsekd.py', 'pretrained_lidar.py']
method = 'kitti_pretrained_sparsekd'
label = 'SparseKD, pretrained'
family = 'pointpillars_pretrained_'
teacher = dict(pretrained=True)
student = dict(pretrained=True)
