# LAD's student: HRNet-W18s on Cityscapes, with the mean over labelled pixels.
_base_ = 'mmseg::hrnet/fcn_hr18s_4xb2-80k_cityscapes-512x1024.py'
model = dict(decode_head=dict(loss_decode=dict(avg_non_ignore=True)))
