# The first stage.
_base_ = 'bev-assistant_8xb4-20e_nuscenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/../unidistill/bev-lidar_8xb4-20e_nuscenes.py',
            ckpt='work_dirs/bev-lidar_8xb4-20e_nuscenes/epoch_20.pth')),
    distillers=dict(monotakd=dict(type='MonoTAKDAssistant', head='center')))
