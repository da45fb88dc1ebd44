_base_ = 'pointpillars_scenes.py'
method = 'xray'
# The teacher is as wide as the student, and is trained on complete objects;
# all entries of the family share the student alone.
prepare = [[
    'complete', 'kitti', '--data-root', '{root}/kitti', '--infos',
    'kitti_infos_train.pkl'
]]
teacher_family = 'xray_'
teacher = dict(config='configs/demo/pointpillars_w8_complete_scenes-kitti.py')
distilled = dict(config='configs/demo/xray'
                 '_pointpillars-w8_pointpillars-w8_scenes-kitti.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.xray.loss_weight': [0.3, 1.0]}
# AP by number of points, only on the test scenes.
test_split = 'test_points'
splits = dict(test_points={'test_evaluator.type': 'mmkd.KittiByPoints'})
more_metrics = {
    f'points_{x}': f'Kitti metric/pred_instances_3d/KITTI/points_{x}_3D_AP40'
    for x in ('1-5', '6-20', '21-100', '101+')
}
