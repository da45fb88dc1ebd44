# Shared by the methods for CenterPoint: networks trained alone.
task = 'lidar detection, nuScenes'
metric = 'NuScenes metric/pred_instances_3d_NuScenes/mAP'
more_metrics = dict(NDS='NuScenes metric/pred_instances_3d_NuScenes/NDS')
scale = 100
family = 'centerpoint_'
formats = ['nuscenes']
data = {
    'train_dataloader.dataset.data_root': '{root}/nuscenes',
    'val_dataloader.dataset.data_root': '{root}/nuscenes',
    'test_dataloader.dataset.data_root': '{root}/nuscenes',
    'train_dataloader.dataset.metainfo.version': 'v1.0-trainval',
    'val_dataloader.dataset.metainfo.version': 'v1.0-trainval',
    'val_evaluator.data_root': '{root}/nuscenes',
    'val_evaluator.ann_file': '{root}/nuscenes/nuscenes_infos_val.pkl',
    'test_evaluator.data_root': '{root}/nuscenes/test_as_val',
    'test_evaluator.ann_file': '{root}/nuscenes/nuscenes_infos_test.pkl'
}
splits = dict(
    val={
        'test_dataloader.dataset.ann_file': 'nuscenes_infos_val.pkl',
        'test_evaluator.data_root': '{root}/nuscenes',
        'test_evaluator.ann_file': '{root}/nuscenes/nuscenes_infos_val.pkl'
    },
    test={})
teacher = dict(
    config='configs/demo/centerpoint-pillar_w32_scenes-nuscenes.py', iters=800)
student = dict(
    config='configs/demo/centerpoint-pillar_w8_scenes-nuscenes.py', iters=800)
# Tried on the validation scenes, with a seed of its own, before the seeds
# that are reported: as many values for the student alone as for a method.
tuning_seed = 1000
tuning_iters = 400
student_grid = {'optim_wrapper.optimizer.lr': [5e-3, 1.5e-2]}
