_base_ = 'centerpoint-pillar_w8_scenes-nuscenes.py'
from mmkd.methods.xray.data.pipelines import \
    with_complete_objects  # noqa: E402

train_dataloader = with_complete_objects(_base_.train_dataloader)  # noqa: F821
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/'
            'centerpoint-pillar_w8_complete_scenes-nuscenes.py',
            ckpt='work_dirs/centerpoint-pillar_w8_complete_scenes-nuscenes/'
            'export/student.pth',
            input_map={'inputs.points': 'inputs.points_teacher'})),
    distillers=dict(xray=dict(type='XRay')))
