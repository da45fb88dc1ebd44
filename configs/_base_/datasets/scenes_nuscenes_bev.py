# The driving scenes in the layout of nuScenes for detectors in bird's-eye
# view: six cameras and the LiDAR, augmented together. A network takes the
# pipelines of its own sensors; what teaches one of another sensor, both.
_base_ = 'scenes_nuscenes.py'
# In the order of the head's tasks, as CenterHead counts labels.
class_names = [
    'car', 'truck', 'construction_vehicle', 'bus', 'trailer', 'barrier',
    'motorcycle', 'bicycle', 'pedestrian', 'traffic_cone'
]
metainfo = dict(classes=class_names, version='v1.0-mini')
input_modality = dict(use_lidar=True, use_camera=True)
cameras = [
    'CAM_FRONT', 'CAM_FRONT_RIGHT', 'CAM_FRONT_LEFT', 'CAM_BACK',
    'CAM_BACK_LEFT', 'CAM_BACK_RIGHT'
]
data_prefix = dict(
    pts='samples/LIDAR_TOP',
    sweeps='sweeps/LIDAR_TOP',
    CAM_FRONT='samples/CAM_FRONT',
    CAM_FRONT_RIGHT='samples/CAM_FRONT_RIGHT',
    CAM_FRONT_LEFT='samples/CAM_FRONT_LEFT',
    CAM_BACK='samples/CAM_BACK',
    CAM_BACK_LEFT='samples/CAM_BACK_LEFT',
    CAM_BACK_RIGHT='samples/CAM_BACK_RIGHT')
point_cloud_range = [-25.6, -25.6, -5, 25.6, 25.6, 3]
image_size = (80, 176)
load_images = dict(type='mmkd.LoadMultiViewImages', cameras=cameras)
load_points = [
    dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=5, use_dim=5),
    dict(
        type='LoadPointsFromMultiSweeps',
        sweeps_num=2,
        use_dim=[0, 1, 2, 3, 4],
        test_mode=True),
]
load_boxes = dict(
    type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True)
# Flips alone: a scene is seen about three times, so that there is little to
# be learnt by heart.
augment_images = dict(type='mmkd.ImageAug3D', size=image_size, flip_ratio=0.5)
augment_scene = dict(type='mmkd.BEVAug3D', rotation=(0., 0.), scale=(1., 1.))
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
    dataset=dict(
        pipeline=train_pipeline,
        metainfo=metainfo,
        modality=input_modality,
        data_prefix=data_prefix))
val_dataloader = dict(
    dataset=dict(
        pipeline=test_pipeline,
        metainfo=metainfo,
        modality=input_modality,
        data_prefix=data_prefix))
test_dataloader = dict(
    dataset=dict(
        pipeline=test_pipeline,
        metainfo=dict(classes=class_names, version='v1.0-trainval'),
        modality=input_modality,
        data_prefix=data_prefix))
