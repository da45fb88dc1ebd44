# LAD's teacher: HRNet-W18s on Cityscapes that sees noisy labels.
_base_ = 'fcn_hr18s_4xb2-80k_cityscapes-512x1024.py'
model = dict(type='mmkd.LabelAssistedSegmentor')
# Each process draws its own noise.
randomness = dict(diff_rank_seed=True)
