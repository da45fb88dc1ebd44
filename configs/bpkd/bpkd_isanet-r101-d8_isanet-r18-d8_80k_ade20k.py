# ISANet, R101 to R18, on ADE20K.
# Teacher 43.80, student 31.15, BPKD 38.73 mIoU (the authors' figures).
# Batch 4 x 4 as in mmseg; the authors' evaluation configs say 2 a GPU.
_base_ = '_base_/isanet_r18-d8_4xb4-80k_ade20k-512x512.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::isanet/isanet_r101-d8_4xb4-160k_ade20k-512x512.py',
            ckpt='official')),
    distillers=dict(bpkd=dict(type='BPKD')))
