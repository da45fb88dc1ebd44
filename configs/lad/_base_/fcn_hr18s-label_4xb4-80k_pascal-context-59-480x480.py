# LAD's teacher: HRNet-W18s on Pascal Context 59 that sees noisy labels.
_base_ = 'fcn_hr18s_4xb4-80k_pascal-context-59-480x480.py'
model = dict(type='mmkd.LabelAssistedSegmentor')
# Each process draws its own noise.
randomness = dict(diff_rank_seed=True)
