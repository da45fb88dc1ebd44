_base_ = ['kitti_pointdistiller.py', 'pretrained_lidar.py']
method = 'kitti_pretrained_pointdistiller'
label = 'PointDistiller, pretrained'
family = 'pointpillars_pretrained_'
teacher = dict(pretrained=True)
student = dict(pretrained=True)
