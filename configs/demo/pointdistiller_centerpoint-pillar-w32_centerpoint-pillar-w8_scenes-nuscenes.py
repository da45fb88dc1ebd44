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
        pointdistiller=dict(
            type='PointDistiller',
            preset='centerpoint_pillar',
            num_centres=1500,
            num_neighbours=32)))
