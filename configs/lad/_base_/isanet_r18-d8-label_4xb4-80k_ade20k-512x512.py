# LAD's teacher: ISANet-R18 on ADE20K that sees noisy labels.
_base_ = 'isanet_r18-d8_4xb4-80k_ade20k-512x512.py'
model = dict(type='mmkd.LabelAssistedSegmentor')
# Each process draws its own noise.
randomness = dict(diff_rank_seed=True)
