# LAD's teacher: the student, and noisy labels in its input.
_base_ = 'deeplabv3plus_r18w16-d16_camvid.py'
model = dict(
    type='mmkd.LabelAssistedSegmentor',
    decode_head=dict(loss_decode=dict(avg_non_ignore=True)))
