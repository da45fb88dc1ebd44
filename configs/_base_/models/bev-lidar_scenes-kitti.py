# Pillars of 0.3 m, halved once.
_base_ = 'bev_scenes-kitti.py'
model = dict(
    data_preprocessor=dict(
        voxel=True,
        voxel_layer=dict(
            max_num_points=24,
            point_cloud_range={{_base_.grid_range}},
            voxel_size={{_base_.pillar_size}},
            max_voxels=(8000, 8000))),
    pts_voxel_encoder=dict(
        type='PillarFeatureNet',
        in_channels=4,
        feat_channels=[32],
        with_distance=False,
        voxel_size={{_base_.pillar_size}},
        point_cloud_range={{_base_.grid_range}},
        norm_cfg=dict(type='BN1d', eps=1e-3, momentum=0.05),
        legacy=False),
    pts_middle_encoder=dict(
        type='PointPillarsScatter', in_channels=32, output_shape=[128, 128]),
    pts_backbone=dict(
        type='SECOND',
        in_channels=32,
        out_channels=[32],
        layer_nums=[1],
        layer_strides=[2],
        norm_cfg={{_base_.norm_cfg}}))
