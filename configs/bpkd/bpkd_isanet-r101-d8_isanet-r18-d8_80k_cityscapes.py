# ISANet, R101 to R18, on Cityscapes.
# Teacher 80.61, student 73.62, BPKD 75.72 mIoU (the authors' figures).
# The teacher was trained on crops of 769x769.
_base_ = '_base_/isanet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::isanet/isanet_r101-d8_4xb2-80k_cityscapes-769x769.py',
            ckpt='official')),
    distillers=dict(bpkd=dict(type='BPKD')))
