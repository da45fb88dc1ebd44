_base_ = 'pointpillars_w8_scenes-kitti.py'
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
            'pointpillars_w8_complete_scenes-kitti.py',
            ckpt='work_dirs/pointpillars_w8_complete_scenes-kitti/'
            'export/student.pth',
            input_map={'inputs.points': 'inputs.points_teacher'})),
    distillers=dict(xray=dict(type='XRay')))
