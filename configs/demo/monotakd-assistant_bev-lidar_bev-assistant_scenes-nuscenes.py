# The first stage of MonoTAKD.
_base_ = 'bev-assistant_scenes-nuscenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/bev-lidar_scenes-nuscenes.py',
            ckpt='work_dirs/bev-lidar_scenes-nuscenes/export/student.pth')),
    distillers=dict(
        # The 32 of the history of the release slows so short a training.
        monotakd=dict(
            type='MonoTAKDAssistant', head='center', weights=dict(
                feature=1.))))
