# Pillars of 0.4 m in place of 0.2 m.
_base_ = 'mmdet3d::centerpoint/centerpoint_pillar02_second_secfpn_head-circlenms_8xb4-cyclic-20e_nus-3d.py'
voxel_size = [0.4, 0.4, 8]
model = dict(
    data_preprocessor=dict(
        voxel_layer=dict(
            max_num_points=50,
            voxel_size=voxel_size,
            max_voxels=(15000, 20000))),
    pts_voxel_encoder=dict(voxel_size=voxel_size),
    pts_middle_encoder=dict(output_shape=(256, 256)),
    pts_bbox_head=dict(bbox_coder=dict(voxel_size=voxel_size[:2])),
    train_cfg=dict(pts=dict(grid_size=[256, 256, 1], voxel_size=voxel_size)),
    test_cfg=dict(pts=dict(voxel_size=voxel_size[:2])))
