# LAD's student: DeepLabV3+ on MobileNetV2 on ADE20K, with the mean over labelled pixels.
_base_ = '../../bpkd/_base_/mobilenet-v2-d8_deeplabv3plus_4xb4-80k_ade20k-512x512.py'
model = dict(
    decode_head=dict(loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=dict(loss_decode=dict(avg_non_ignore=True)))
