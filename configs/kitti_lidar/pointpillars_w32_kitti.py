# The teacher: the PointPillars of the driving scenes, for cars, on 48 x 48
# metres with pillars of 0.3 m. The anchor is that of mmdet3d's recipe for
# KITTI.
_base_ = [
    '../_base_/models/pointpillars_w32_scenes-kitti.py',
    '../_base_/datasets/kitti_lidar.py', '../_base_/schedules/scenes_lidar.py'
]
voxel_size = [0.3, 0.3, 4]
grid_range = [0, -24, -3, 48, 24, 1]
model = dict(
    data_preprocessor=dict(
        voxel_layer=dict(point_cloud_range=grid_range, voxel_size=voxel_size)),
    voxel_encoder=dict(point_cloud_range=grid_range, voxel_size=voxel_size),
    bbox_head=dict(
        num_classes=1,
        anchor_generator=dict(
            ranges=[[0, -24, -1.78, 48, 24, -1.78]], sizes=[[3.9, 1.6,
                                                             1.56]])),
    train_cfg=dict(assigner=[
        dict(
            type='Max3DIoUAssigner',
            iou_calculator=dict(type='mmdet3d.BboxOverlapsNearest3D'),
            pos_iou_thr=0.6,
            neg_iou_thr=0.45,
            min_pos_iou=0.45,
            ignore_iof_thr=-1)
    ]))
