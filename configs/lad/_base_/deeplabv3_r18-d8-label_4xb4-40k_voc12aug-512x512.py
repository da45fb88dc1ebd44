# LAD's teacher: DeepLabV3-R18 on Pascal VOC 2012 that sees noisy labels.
_base_ = [
    '../../cirkd/_base_/'
    'deeplabv3_r18-d8_4xb4-40k_voc12aug-512x512.py'
]
model = dict(
    type='mmkd.LabelAssistedSegmentor',
    decode_head=dict(loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=dict(loss_decode=dict(avg_non_ignore=True)))
# Each process draws its own noise.
randomness = dict(diff_rank_seed=True)
