# Shared by the methods for PointPillars: networks trained alone.
task = 'lidar detection, KITTI'
metric = 'Kitti metric/pred_instances_3d/KITTI/Overall_3D_AP40_moderate'
more_metrics = dict(
    car='Kitti metric/pred_instances_3d/KITTI/Car_3D_AP40_moderate_strict',
    bev='Kitti metric/pred_instances_3d/KITTI/Overall_BEV_AP40_moderate')
family = 'pointpillars_'
formats = ['kitti']
data = {
    'train_dataloader.dataset.data_root': '{root}/kitti',
    'val_dataloader.dataset.data_root': '{root}/kitti',
    'test_dataloader.dataset.data_root': '{root}/kitti',
    'val_evaluator.ann_file': '{root}/kitti/kitti_infos_val.pkl',
    'test_evaluator.ann_file': '{root}/kitti/kitti_infos_test.pkl'
}
splits = dict(
    val={
        'test_dataloader.dataset.ann_file': 'kitti_infos_val.pkl',
        'test_dataloader.dataset.data_prefix.pts': 'training/velodyne_reduced',
        'test_dataloader.dataset.data_prefix.img': 'training/image_2',
        'test_evaluator.ann_file': '{root}/kitti/kitti_infos_val.pkl'
    },
    test={})
teacher = dict(
    config='configs/demo/pointpillars_w32_scenes-kitti.py', iters=2000)
student = dict(
    config='configs/demo/pointpillars_w8_scenes-kitti.py', iters=2000)
# Tried on the validation scenes, with a seed of its own, before the seeds
# that are reported: as many values for the student alone as for a method.
tuning_seed = 1000
tuning_iters = 600
student_grid = {'optim_wrapper.optimizer.lr': [3e-3, 1e-2]}
