# Without ground truth: the labels are the teacher's.
_base_ = '../bev-residual_1xb1-10e_kitti.py'
model = dict(
    bbox_head=dict(
        loss_cls=dict(loss_weight=0.),
        loss_bbox=dict(loss_weight=0.),
        loss_dir=dict(loss_weight=0.)))
