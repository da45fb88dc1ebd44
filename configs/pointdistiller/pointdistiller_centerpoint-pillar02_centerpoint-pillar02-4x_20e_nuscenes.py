# CenterPoint on pillars, 4x, on nuScenes; not in the paper.
_base_ = '_base_/centerpoint-pillar02-4x_second_secfpn_head-circlenms_8xb4-cyclic-20e_nus-3d.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet3d::centerpoint/'
            'centerpoint_pillar02_second_secfpn_head-circlenms_8xb4-cyclic-20e_nus-3d.py',
            ckpt='official')),
    distillers=dict(
        pointdistiller=dict(
            type='PointDistiller', preset='centerpoint_pillar')))
