# The teacher, to be tested only: YOLOX-Nano with all classes of COCO, whose
# precision is printed class by class.
_base_ = 'yolox-slim_coco-small.py'
model = dict(
    backbone=dict(frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(out_channels=64),
    bbox_head=dict(num_classes=80, in_channels=64, feat_channels=64))
train_dataloader = dict(dataset=dict(metainfo=dict(_delete_=True)))
val_dataloader = dict(dataset=dict(metainfo=dict(_delete_=True)))
test_dataloader = dict(dataset=dict(metainfo=dict(_delete_=True)))
test_evaluator = dict(classwise=True)
