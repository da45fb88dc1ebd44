# LAD's teacher: ISANet-R18 on Pascal Context 59 that sees noisy labels.
_base_ = 'isanet_r18-d8_4xb4-80k_pascal-context-59-480x480.py'
model = dict(type='mmkd.LabelAssistedSegmentor')
# Each process draws its own noise.
randomness = dict(diff_rank_seed=True)
