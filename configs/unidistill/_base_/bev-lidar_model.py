# CenterPoint's sparse encoder on voxels of 0.075 m, stride 8.
_base_ = 'bev_model.py'
model = dict(
    data_preprocessor=dict(
        voxel=True,
        voxel_layer=dict(
            max_num_points=10,
            point_cloud_range={{_base_.grid_range}},
            voxel_size={{_base_.voxel_size}},
            max_voxels=(120000, 160000))),
    pts_voxel_encoder=dict(type='HardSimpleVFE', num_features=5),
    pts_middle_encoder=dict(
        type='SparseEncoder',
        in_channels=5,
        sparse_shape=[41, 1440, 1440],
        output_channels=128,
        order=('conv', 'norm', 'act'),
        encoder_channels=((16, 16, 32), (32, 32, 64), (64, 64, 128), (128,
                                                                      128)),
        encoder_paddings=((0, 0, 1), (0, 0, 1), (0, 0, [0, 1, 1]), (0, 0)),
        block_type='basicblock'))
