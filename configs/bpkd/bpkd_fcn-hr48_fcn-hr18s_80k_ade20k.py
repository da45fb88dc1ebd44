# HRNet, W48 to W18s, on ADE20K.
# Teacher 42.02, student 31.38, BPKD 35.31 mIoU (the authors' figures).
# Batch 4 x 4 as in mmseg; the authors' evaluation configs say 2 a GPU.
_base_ = 'mmseg::hrnet/fcn_hr18s_4xb4-80k_ade20k-512x512.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::hrnet/fcn_hr48_4xb4-160k_ade20k-512x512.py',
            ckpt='official')),
    distillers=dict(bpkd=dict(type='BPKD')))
