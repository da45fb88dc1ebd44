_base_ = ['kitti_logits_kd.py', 'pretrained_lidar.py']
method = 'kitti_pretrained_logits_kd'
label = 'LogitsKD, pretrained'
family = 'pointpillars_pretrained_'
teacher = dict(pretrained=True)
student = dict(pretrained=True)
