# SegFormer-B0 from scratch on ACDC, whose files CityscapesDataset reads once
# it knows their suffixes: the four conditions as one data set.
_base_ = 'segformer_mit-b0-scratch_8xb1-160k_cityscapes-1024x1024.py'
data_root = 'data/acdc'
conditions = ('fog', 'night', 'rain', 'snow')
crop_size = (512, 1024)
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    test_cfg=dict(_delete_=True, mode='whole'))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomResize',
        scale=(1920, 1080),
        ratio_range=(0.5, 2.0),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1920, 1080), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
files = dict(
    type='CityscapesDataset',
    data_root=data_root,
    img_suffix='_rgb_anon.png',
    seg_map_suffix='_gt_labelTrainIds.png')
train_dataset = dict(
    _delete_=True,
    type='ConcatDataset',
    datasets=[
        dict(
            data_prefix=dict(
                img_path=f'rgb_anon/{condition}/train',
                seg_map_path=f'gt/{condition}/train'),
            pipeline=train_pipeline,
            **files) for condition in conditions
    ])
val_dataset = dict(
    _delete_=True,
    type='ConcatDataset',
    datasets=[
        dict(
            data_prefix=dict(
                img_path=f'rgb_anon/{condition}/val',
                seg_map_path=f'gt/{condition}/val'),
            pipeline=test_pipeline,
            **files) for condition in conditions
    ])
train_dataloader = dict(dataset=train_dataset)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
