# Sigmoids of all heatmaps. The divergence is a sum over ten classes.
_base_ = 'centerpoint-pillar_w8_scenes-nuscenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/centerpoint-pillar_w32_scenes-nuscenes.py',
            ckpt='work_dirs/centerpoint-pillar_w32_scenes-nuscenes/export/'
            'student.pth')),
    distillers=dict(
        binary=dict(
            type='LogitsKD',
            place='class_maps',
            divergence='binary',
            loss_weight=0.1)))
