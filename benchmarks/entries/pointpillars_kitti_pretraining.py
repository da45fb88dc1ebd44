# The networks for real KITTI scans, trained on the driving scenes.
_base_ = 'pointpillars_scenes.py'
family = 'kitti_pretraining_'
teacher = dict(config='configs/kitti_lidar/pointpillars_w32_kitti.py')
student = dict(
    config='configs/kitti_lidar/pointpillars_w8_kitti.py',
    options={'optim_wrapper.optimizer.lr': 1e-2})
