# PointPillars under an FPN, 2x, on nuScenes (mAP / NDS).
# Student 36.0 / 50.5, PointDistiller 36.7 / 51.0.
_base_ = '_base_/pointpillars-fpn-2x_hv_fpn_sbn-all_8xb4-2x_nus-3d.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet3d::pointpillars/'
            'pointpillars_hv_fpn_sbn-all_8xb4-2x_nus-3d.py',
            ckpt='official')),
    distillers=dict(
        pointdistiller=dict(type='PointDistiller', preset='pointpillars_fpn')))
