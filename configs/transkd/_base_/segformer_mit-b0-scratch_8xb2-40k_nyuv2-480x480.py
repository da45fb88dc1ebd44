# SegFormer-B0 from scratch on the 40 classes of NYUv2. mmseg's NYUDataset
# reads depth; BaseSegDataset reads label maps of this layout:
#   data/nyuv2/RGB/*.jpg, data/nyuv2/Label/*.png (0 unlabelled, 1 to 40),
#   data/nyuv2/train.txt and test.txt: names without a suffix, one a line
_base_ = 'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'
data_root = 'data/nyuv2'
crop_size = (480, 480)
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(init_cfg=None),
    decode_head=dict(num_classes=40))
classes = ('wall', 'floor', 'cabinet', 'bed', 'chair', 'sofa', 'table', 'door',
           'window', 'bookshelf', 'picture', 'counter', 'blinds', 'desk',
           'shelves', 'curtain', 'dresser', 'pillow', 'mirror', 'floor mat',
           'clothes', 'ceiling', 'books', 'refrigerator', 'television',
           'paper', 'towel', 'shower curtain', 'box', 'whiteboard', 'person',
           'night stand', 'toilet', 'sink', 'lamp', 'bathtub', 'bag',
           'other structure', 'other furniture', 'other prop')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(
        type='RandomResize',
        scale=(640, 480),
        ratio_range=(0.5, 2.0),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs')
]
files = dict(
    _delete_=True,
    type='BaseSegDataset',
    data_root=data_root,
    metainfo=dict(classes=classes),
    data_prefix=dict(img_path='RGB', seg_map_path='Label'),
    img_suffix='.jpg',
    seg_map_suffix='.png',
    reduce_zero_label=True)
test_dataset = dict(ann_file='test.txt', pipeline=test_pipeline, **files)
train_dataloader = dict(
    dataset=dict(ann_file='train.txt', pipeline=train_pipeline, **files))
val_dataloader = dict(dataset=test_dataset)
test_dataloader = dict(dataset=test_dataset)
param_scheduler = [
    dict(
        type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(
        type='PolyLR',
        eta_min=0.0,
        power=1.0,
        begin=1500,
        end=40000,
        by_epoch=False)
]
train_cfg = dict(max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
