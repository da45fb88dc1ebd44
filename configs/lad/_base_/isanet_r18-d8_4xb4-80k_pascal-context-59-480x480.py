# LAD's student: ISANet-R18 on Pascal Context 59, with the mean over labelled pixels.
_base_ = '../../bpkd/_base_/isanet_r18-d8_4xb4-80k_pascal-context-59-480x480.py'
model = dict(
    decode_head=dict(loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=dict(loss_decode=dict(avg_non_ignore=True)))
