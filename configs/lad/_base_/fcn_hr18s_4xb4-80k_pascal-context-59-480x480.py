# LAD's student: HRNet-W18s on Pascal Context 59, with the mean over labelled pixels.
_base_ = '../../bpkd/_base_/fcn_hr18s_4xb4-80k_pascal-context-59-480x480.py'
model = dict(decode_head=dict(loss_decode=dict(avg_non_ignore=True)))
