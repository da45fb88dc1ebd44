# LAD's student: ISANet-R18 on ADE20K, with the mean over labelled pixels.
_base_ = '../../bpkd/_base_/isanet_r18-d8_4xb4-80k_ade20k-512x512.py'
model = dict(
    decode_head=dict(loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=dict(loss_decode=dict(avg_non_ignore=True)))
