_base_ = ['kitti_feature_kd.py', 'pretrained_lidar.py']
method = 'kitti_pretrained_feature_kd'
label = 'FeatureKD, pretrained'
family = 'pointpillars_pretrained_'
teacher = dict(pretrained=True)
student = dict(pretrained=True)
