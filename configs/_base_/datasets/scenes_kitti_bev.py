# The driving scenes in the layout of KITTI for detectors in bird's-eye view:
# the left colour camera and the LiDAR, augmented together. A network takes
# the pipelines of its own sensor; what teaches one of another sensor, both.
_base_ = 'scenes_kitti.py'
class_names = ['Pedestrian', 'Cyclist', 'Car']
point_cloud_range = [0, -19.2, -3, 38.4, 19.2, 1]
image_size = (96, 312)
data_prefix = dict(pts='training/velodyne_reduced', img='training/image_2')
test_data_prefix = dict(pts='testing/velodyne_reduced', img='testing/image_2')
input_modality = dict(use_lidar=True, use_camera=True)
load_image = dict(type='mmkd.LoadMultiViewImages', cameras=['CAM2'])
load_points = dict(
    type='LoadPointsFromFile', coord_type='LIDAR', load_dim=4, use_dim=4)
load_boxes = dict(
    type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True)
augment_image = dict(
    type='mmkd.ImageAug3D',
    size=image_size,
    resize=(0.95, 1.15),
    flip_ratio=0.5,
    random_crop=True)
augment_scene = dict(
    type='mmkd.BEVAug3D',
    rotation=(-0.4, 0.4),
    scale=(0.95, 1.05),
    # Only what lies ahead is seen.
    flip_x=0.)
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
    load_image, load_points,
    dict(type='mmkd.ImageAug3D', size=image_size), filter_points,
    dict(type='mmkd.PackBEVInputs', keys=['img', 'points'])
]
camera_modality = dict(use_lidar=False, use_camera=True)
camera_train_pipeline = [
    load_image, load_boxes, augment_image, augment_scene, *filter_boxes,
    dict(type='mmkd.PackBEVInputs', keys=['img', *truth])
]
camera_test_pipeline = [
    load_image,
    dict(type='mmkd.ImageAug3D', size=image_size),
    dict(type='mmkd.PackBEVInputs', keys=['img'])
]
lidar_modality = dict(use_lidar=True, use_camera=False)
lidar_train_pipeline = [
    load_points, load_boxes, augment_scene, filter_points, *filter_boxes,
    dict(type='PointShuffle'),
    dict(type='mmkd.PackBEVInputs', keys=['points', *truth])
]
lidar_test_pipeline = [
    load_points, filter_points,
    dict(type='mmkd.PackBEVInputs', keys=['points'])
]
train_dataloader = dict(
    dataset=dict(
        pipeline=train_pipeline,
        modality=input_modality,
        data_prefix=data_prefix))
val_dataloader = dict(
    dataset=dict(
        pipeline=test_pipeline,
        modality=input_modality,
        data_prefix=data_prefix))
test_dataloader = dict(
    dataset=dict(
        pipeline=test_pipeline,
        modality=input_modality,
        data_prefix=test_data_prefix))
