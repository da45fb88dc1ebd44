# The embeddings of boxes stay as wide as the teacher's.
_base_ = 'faster-rcnn_r18w32_fpn.py'
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=24),
    rpn_head=dict(in_channels=24, feat_channels=24),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=24),
        bbox_head=dict(in_channels=24)))
