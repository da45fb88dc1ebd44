# LAD's student: ISANet-R18 on Cityscapes, with the mean over labelled pixels.
_base_ = '../../bpkd/_base_/isanet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
model = dict(
    decode_head=dict(loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=dict(loss_decode=dict(avg_non_ignore=True)))
