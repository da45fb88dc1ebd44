# LAD's teacher: DeepLabV3+ on MobileNetV2 on Cityscapes that sees noisy labels.
_base_ = 'deeplabv3plus_mobilenet-v2-d8_4xb2-80k_cityscapes-512x1024.py'
model = dict(type='mmkd.LabelAssistedSegmentor')
# Each process draws its own noise.
randomness = dict(diff_rank_seed=True)
