# LAD's student: HRNet-W18s on ADE20K, with the mean over labelled pixels.
_base_ = 'mmseg::hrnet/fcn_hr18s_4xb4-80k_ade20k-512x512.py'
model = dict(decode_head=dict(loss_decode=dict(avg_non_ignore=True)))
