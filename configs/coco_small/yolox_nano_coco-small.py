# The teacher, to be tested only: YOLOX-Nano with all classes of COCO, whose
# precision is printed class by class.
_base_ = 'yolox_w8_coco-small.py'
model = dict(
    backbone=dict(widen_factor=0.25, use_depthwise=True),
    neck=dict(in_channels=[64, 128, 256], out_channels=64, use_depthwise=True),
    bbox_head=dict(
        num_classes=80, in_channels=64, feat_channels=64, use_depthwise=True))
train_dataloader = dict(dataset=dict(metainfo=dict(_delete_=True)))
val_dataloader = dict(dataset=dict(metainfo=dict(_delete_=True)))
test_dataloader = dict(dataset=dict(metainfo=dict(_delete_=True)))
test_evaluator = dict(classwise=True)
