# LAD's teacher: DeepLabV3+ on MobileNetV2 on Pascal Context 59 that sees noisy labels.
_base_ = 'deeplabv3plus_mobilenet-v2-d8_4xb4-80k_pascal-context-59-480x480.py'
model = dict(type='mmkd.LabelAssistedSegmentor')
# Each process draws its own noise.
randomness = dict(diff_rank_seed=True)
