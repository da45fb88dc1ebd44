# LAD's teacher: DeepLabV3+ on MobileNetV2 on ADE20K that sees noisy labels.
_base_ = 'deeplabv3plus_mobilenet-v2-d8_4xb4-80k_ade20k-512x512.py'
model = dict(type='mmkd.LabelAssistedSegmentor')
# Each process draws its own noise.
randomness = dict(diff_rank_seed=True)
