# LAD's student: DeepLabV3-R18 on Pascal VOC 2012, with the released weight of
# the auxiliary head.
_base_ = '../../cirkd/_base_/deeplabv3_r18-d8_4xb4-40k_voc12aug-512x512.py'
model = dict(
    decode_head=dict(loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=dict(
        loss_decode=dict(avg_non_ignore=True, loss_weight=0.02)))
