# LAD's teacher: DeepLabV3+ on MobileNetV2 on Cityscapes that sees noisy labels.
_base_ = [
    'mmseg::mobilenet_v2/'
    'mobilenet-v2-d8_deeplabv3plus_4xb2-80k_cityscapes-512x1024.py'
]
model = dict(
    type='mmkd.LabelAssistedSegmentor',
    decode_head=dict(loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=dict(loss_decode=dict(avg_non_ignore=True)))
# Each process draws its own noise.
randomness = dict(diff_rank_seed=True)
