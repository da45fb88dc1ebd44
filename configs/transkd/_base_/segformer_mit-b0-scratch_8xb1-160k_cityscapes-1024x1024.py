# SegFormer-B0 as in mmseg, but from scratch: TransKD's student has seen no
# ImageNet. Train it as it is to get the student alone.
_base_ = 'mmseg::segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py'
model = dict(backbone=dict(init_cfg=None))
