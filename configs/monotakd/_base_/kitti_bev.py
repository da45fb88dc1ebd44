# KITTI with the left colour image and the points that it shows.
dataset_type = 'KittiDataset'
data_root = 'data/kitti/'
class_names = ['Pedestrian', 'Cyclist', 'Car']
metainfo = dict(classes=class_names)
point_cloud_range = [2, -30.08, -3, 46.8, 30.08, 1]
image_size = (376, 1248)
input_modality = dict(use_lidar=True, use_camera=True)
load_image = dict(type='mmkd.LoadMultiViewImages', cameras=['CAM2'])
load_points = dict(
    type='LoadPointsFromFile', coord_type='LIDAR', load_dim=4, use_dim=4)
load_boxes = dict(
    type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True)
fit_image = dict(type='mmkd.ImageAug3D', size=image_size)
augment_image = dict(type='mmkd.ImageAug3D', size=image_size, flip_ratio=0.5)
augment_scene = dict(
    type='mmkd.BEVAug3D', rotation=(0, 0), scale=(1, 1), flip_x=0.)
filter_points = dict(
    type='PointsRangeFilter', point_cloud_range=point_cloud_range)
filter_boxes = [
    dict(type='ObjectRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='ObjectNameFilter', classes=class_names)
]
truth = ['gt_bboxes_3d', 'gt_labels_3d']
train_pipeline = [
    load_image, load_points, load_boxes, augment_image, augment_scene,
    filter_points, *filter_boxes,
    dict(type='PointShuffle'),
    dict(type='mmkd.PackBEVInputs', keys=['img', 'points', *truth])
]
test_pipeline = [
    load_image, load_points, fit_image, filter_points,
    dict(type='mmkd.PackBEVInputs', keys=['img', 'points'])
]
camera_modality = dict(use_lidar=False, use_camera=True)
camera_train_pipeline = [
    load_image, load_boxes, augment_image, augment_scene, *filter_boxes,
    dict(type='mmkd.PackBEVInputs', keys=['img', *truth])
]
camera_test_pipeline = [
    load_image, fit_image,
    dict(type='mmkd.PackBEVInputs', keys=['img'])
]
lidar_modality = dict(use_lidar=True, use_camera=False)
lidar_train_pipeline = [
    load_points, load_boxes,
    dict(
        type='ObjectSample',
        db_sampler=dict(
            data_root=data_root,
            info_path=data_root + 'kitti_dbinfos_train.pkl',
            rate=1.0,
            prepare=dict(
                filter_by_difficulty=[-1],
                filter_by_min_points=dict(Car=5, Pedestrian=10, Cyclist=10)),
            classes=class_names,
            sample_groups=dict(Car=12, Pedestrian=6, Cyclist=6),
            points_loader=load_points)),
    dict(
        type='mmkd.BEVAug3D',
        rotation=(-0.785, 0.785),
        scale=(0.95, 1.05),
        flip_x=0.), filter_points, *filter_boxes,
    dict(type='PointShuffle'),
    dict(type='mmkd.PackBEVInputs', keys=['points', *truth])
]
lidar_test_pipeline = [
    load_points, filter_points,
    dict(type='mmkd.PackBEVInputs', keys=['points'])
]
data_prefix = dict(pts='training/velodyne_reduced', img='training/image_2')
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='kitti_infos_train.pkl',
        data_prefix=data_prefix,
        pipeline=train_pipeline,
        modality=input_modality,
        metainfo=metainfo,
        filter_empty_gt=False,
        test_mode=False,
        box_type_3d='LiDAR'))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='kitti_infos_val.pkl',
        data_prefix=data_prefix,
        pipeline=test_pipeline,
        modality=input_modality,
        metainfo=metainfo,
        test_mode=True,
        box_type_3d='LiDAR'))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmkd.KittiMetric', ann_file=data_root + 'kitti_infos_val.pkl')
test_evaluator = val_evaluator
