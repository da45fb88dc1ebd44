# Voxels of 0.04 m, a residual sparse encoder, two heights of 64 channels.
_base_ = 'bev_model.py'
model = dict(
    data_preprocessor=dict(
        voxel=True,
        voxel_layer=dict(
            max_num_points=5,
            point_cloud_range={{_base_.grid_range}},
            voxel_size=[0.04, 0.04, 0.1],
            max_voxels=(16000, 40000))),
    pts_voxel_encoder=dict(type='HardSimpleVFE', num_features=4),
    pts_middle_encoder=dict(
        type='SparseEncoder',
        in_channels=4,
        sparse_shape=[41, 1504, 1120],
        output_channels=64,
        order=('conv', 'norm', 'act'),
        encoder_channels=((16, 16, 32), (32, 32, 64), (64, 64, 64), (64, 64)),
        encoder_paddings=((0, 0, 1), (0, 0, 1), (0, 0, (0, 1, 1)), (0, 0)),
        block_type='basicblock'))
