_base_ = 'centerpoint_scenes.py'
method = 'xray'
# The teacher is trained on complete objects; all entries of the family share
# the student alone.
prepare = [[
    'complete', 'nuscenes', '--data-root', '{root}/nuscenes', '--infos',
    'nuscenes_infos_train.pkl'
]]
teacher_family = 'xray_'
# Three times as long as the students: after 800 iterations, it is no better on
# complete frames than they are on ordinary ones.
teacher = dict(
    config='configs/demo/centerpoint-pillar_w8_complete_scenes-nuscenes.py',
    iters=2400)
distilled = dict(
    config='configs/demo/xray'
    '_centerpoint-pillar-w8_centerpoint-pillar-w8_scenes-nuscenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.xray.loss_weight': [0.3, 1.0]}
# AP by number of points, only on the test scenes.
test_split = 'test_points'
splits = dict(
    test_points={
        'test_evaluator.type': 'mmkd.NuScenesByPoints',
        'test_evaluator.max_range': 38.4
    })
more_metrics = {
    'points_1-5': 'NuScenes metric/AP_points_1-5',
    'points_6-20': 'NuScenes metric/AP_points_6-20',
    'points_21-100': 'NuScenes metric/AP_points_21-100',
    'points_101+': 'NuScenes metric/AP_points_101+'
}
