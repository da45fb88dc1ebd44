_base_ = ['kitti_xray.py', 'pretrained_lidar.py']
method = 'kitti_pretrained_xray'
label = 'X-Ray, same scans, pretrained'
family = 'pointpillars_pretrained_'
teacher = dict(pretrained=True)
student = dict(pretrained=True)
