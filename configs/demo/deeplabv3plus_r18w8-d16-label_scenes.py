# LAD's teacher for the segmentation demo: the student, and noisy labels in its
# input.
_base_ = 'deeplabv3plus_r18w8-d16_scenes.py'
model = dict(
    type='mmkd.LabelAssistedSegmentor',
    decode_head=dict(loss_decode=dict(avg_non_ignore=True)))
