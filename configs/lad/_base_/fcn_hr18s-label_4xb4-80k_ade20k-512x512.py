# LAD's teacher: HRNet-W18s on ADE20K that sees noisy labels.
_base_ = 'fcn_hr18s_4xb4-80k_ade20k-512x512.py'
model = dict(type='mmkd.LabelAssistedSegmentor')
# Each process draws its own noise.
randomness = dict(diff_rank_seed=True)
