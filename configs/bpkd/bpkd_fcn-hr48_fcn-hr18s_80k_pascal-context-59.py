# HRNet, W48 to W18s, on Pascal Context 59.
# Teacher 51.12, student 40.62, BPKD 43.96 mIoU (the authors' figures).
_base_ = '_base_/fcn_hr18s_4xb4-80k_pascal-context-59-480x480.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::hrnet/fcn_hr48_4xb4-80k_pascal-context-59-480x480.py',
            ckpt='official')),
    distillers=dict(bpkd=dict(type='BPKD')))
