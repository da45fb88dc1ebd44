# SegFormer-B0 from scratch on whole images of 512x1024, as the authors train
# it. Of their code, the class weights (mmseg's cross entropy fails with them
# where pixels are ignored), the shifts of two pixels, the loss at a quarter of
# the resolution and the schedule are not re-created.
_base_ = 'segformer_mit-b0-scratch_8xb1-160k_cityscapes-1024x1024.py'
data_preprocessor = dict(size=(512, 1024))
model = dict(
    data_preprocessor=data_preprocessor,
    test_cfg=dict(_delete_=True, mode='whole'))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(1024, 512), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1024, 512), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
