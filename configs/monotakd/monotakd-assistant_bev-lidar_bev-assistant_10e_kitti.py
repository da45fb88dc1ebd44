# The first stage.
_base_ = '_base_/bev-assistant_soft.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/bev-lidar_8xb4-80e_kitti.py',
            ckpt='work_dirs/bev-lidar_8xb4-80e_kitti/epoch_80.pth')),
    distillers=dict(monotakd=dict(type='MonoTAKDAssistant')))
