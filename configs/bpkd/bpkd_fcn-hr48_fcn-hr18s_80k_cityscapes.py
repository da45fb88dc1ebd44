# HRNet, W48 to W18s, on Cityscapes.
# Teacher 80.65, student 75.31, BPKD 78.58 mIoU (the authors' figures).
_base_ = 'mmseg::hrnet/fcn_hr18s_4xb2-80k_cityscapes-512x1024.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::hrnet/fcn_hr48_4xb2-160k_cityscapes-512x1024.py',
            ckpt='official')),
    distillers=dict(bpkd=dict(type='BPKD')))
