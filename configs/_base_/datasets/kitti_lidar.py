# Cars in scans of KITTI's object task, as tools/datasets/kitti.py indexes
# them; images are not needed. Nearly all cars of moderate difficulty lie
# within 48 metres.
_base_ = 'scenes_kitti.py'
data_root = '{{$KITTI_LIDAR:data/kitti_lidar}}/'
metainfo = dict(classes=['Car'])
point_cloud_range = [0, -24, -3, 48, 24, 1]
load_points = dict(
    type='LoadPointsFromFile', coord_type='LIDAR', load_dim=4, use_dim=4)
train_pipeline = [
    load_points,
    dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True),
    dict(type='RandomFlip3D', flip_ratio_bev_horizontal=0.5),
    dict(
        type='GlobalRotScaleTrans',
        rot_range=[-0.4, 0.4],
        scale_ratio_range=[0.95, 1.05]),
    dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='ObjectRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='PointShuffle'),
    dict(
        type='Pack3DDetInputs',
        keys=['points', 'gt_bboxes_3d', 'gt_labels_3d'])
]
test_pipeline = [
    load_points,
    dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='Pack3DDetInputs', keys=['points'])
]
train_dataloader = dict(
    dataset=dict(
        data_root=data_root, metainfo=metainfo, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
# The labels of the real test scans are not public.
test_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        pipeline=test_pipeline,
        ann_file='kitti_infos_val.pkl',
        data_prefix=dict(pts='training/velodyne_reduced')))
val_evaluator = dict(ann_file=data_root + 'kitti_infos_val.pkl')
test_evaluator = dict(ann_file=data_root + 'kitti_infos_val.pkl')
