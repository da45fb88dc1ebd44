# nuScenes with six images of 256 x 704 and ten sweeps, augmented together;
# classes are balanced (CBGS).
dataset_type = 'NuScenesDataset'
data_root = 'data/nuscenes/'
class_names = [
    'car', 'truck', 'construction_vehicle', 'bus', 'trailer', 'barrier',
    'motorcycle', 'bicycle', 'pedestrian', 'traffic_cone'
]
metainfo = dict(classes=class_names)
input_modality = dict(use_lidar=True, use_camera=True)
data_prefix = dict(
    pts='samples/LIDAR_TOP',
    sweeps='sweeps/LIDAR_TOP',
    CAM_FRONT='samples/CAM_FRONT',
    CAM_FRONT_RIGHT='samples/CAM_FRONT_RIGHT',
    CAM_FRONT_LEFT='samples/CAM_FRONT_LEFT',
    CAM_BACK='samples/CAM_BACK',
    CAM_BACK_LEFT='samples/CAM_BACK_LEFT',
    CAM_BACK_RIGHT='samples/CAM_BACK_RIGHT')
cameras = [name for name in data_prefix if name.startswith('CAM_')]
point_cloud_range = [-54, -54, -5, 54, 54, 3]
image_size = (256, 704)
load_images = dict(type='mmkd.LoadMultiViewImages', cameras=cameras)
load_points = [
    dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=5, use_dim=5),
    dict(
        type='LoadPointsFromMultiSweeps',
        sweeps_num=10,
        use_dim=[0, 1, 2, 3, 4],
        pad_empty_sweeps=True,
        remove_close=True),
]
load_boxes = dict(
    type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True)
augment_images = dict(
    type='mmkd.ImageAug3D',
    size=image_size,
    # 0.386 to 0.55 of the original, which 0.44 of it just covers.
    resize=(0.877, 1.25),
    flip_ratio=0.5,
    rotation=5.4,
    random_crop=True)
augment_scene = dict(
    type='mmkd.BEVAug3D',
    rotation=(-0.785, 0.785),
    scale=(0.9, 1.1),
    translation_std=0.5)
filter_points = dict(
    type='PointsRangeFilter', point_cloud_range=point_cloud_range)
filter_boxes = [
    dict(type='ObjectRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='ObjectNameFilter', classes=class_names)
]
truth = ['gt_bboxes_3d', 'gt_labels_3d']
train_pipeline = [
    load_images, *load_points, load_boxes, augment_images, augment_scene,
    filter_points, *filter_boxes,
    dict(type='PointShuffle'),
    dict(type='mmkd.PackBEVInputs', keys=['img', 'points', *truth])
]
test_pipeline = [
    load_images, *load_points,
    dict(type='mmkd.ImageAug3D', size=image_size), filter_points,
    dict(type='mmkd.PackBEVInputs', keys=['img', 'points'])
]
camera_modality = dict(use_lidar=False, use_camera=True)
camera_train_pipeline = [
    load_images, load_boxes, augment_images, augment_scene, *filter_boxes,
    dict(type='mmkd.PackBEVInputs', keys=['img', *truth])
]
camera_test_pipeline = [
    load_images,
    dict(type='mmkd.ImageAug3D', size=image_size),
    dict(type='mmkd.PackBEVInputs', keys=['img'])
]
lidar_modality = dict(use_lidar=True, use_camera=False)
lidar_train_pipeline = [
    *load_points, load_boxes, augment_scene, filter_points, *filter_boxes,
    dict(type='PointShuffle'),
    dict(type='mmkd.PackBEVInputs', keys=['points', *truth])
]
lidar_test_pipeline = [
    *load_points, filter_points,
    dict(type='mmkd.PackBEVInputs', keys=['points'])
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CBGSDataset',
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            ann_file='nuscenes_infos_train.pkl',
            pipeline=train_pipeline,
            metainfo=metainfo,
            modality=input_modality,
            data_prefix=data_prefix,
            use_valid_flag=True,
            test_mode=False,
            box_type_3d='LiDAR')))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='nuscenes_infos_val.pkl',
        pipeline=test_pipeline,
        metainfo=metainfo,
        modality=input_modality,
        data_prefix=data_prefix,
        test_mode=True,
        box_type_3d='LiDAR'))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='NuScenesMetric',
    data_root=data_root,
    ann_file=data_root + 'nuscenes_infos_val.pkl',
    metric='bbox')
test_evaluator = val_evaluator
