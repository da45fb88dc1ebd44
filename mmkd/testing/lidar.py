"""LiDAR detectors of mmdet3d that run in milliseconds, and their batches."""
from typing import Optional, Sequence

import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

#: ``(x1, y1, z1, x2, y2, z2)`` in metres in the LiDAR frame.
RANGE = (0., -8., -3., 16., 8., 1.)


def _voxels(size: Sequence[float], cap: int, max_num_points: int) -> dict:
    return dict(
        type='Det3DDataPreprocessor',
        voxel=True,
        voxel_layer=dict(
            max_num_points=max_num_points,
            point_cloud_range=list(RANGE),
            voxel_size=list(size),
            max_voxels=(cap, 2 * cap)))


def _backbone(in_channels: int, width: int, stride: int) -> dict:
    return dict(
        type='SECOND',
        in_channels=in_channels,
        layer_nums=[1, 1],
        layer_strides=[stride, 2],
        out_channels=[width, 2 * width])


def _neck(width: int) -> dict:
    return dict(
        type='SECONDFPN',
        in_channels=[width, 2 * width],
        upsample_strides=[1, 2],
        out_channels=[width, width])


def _anchor_head(channels: int) -> dict:
    return dict(
        type='Anchor3DHead',
        num_classes=1,
        in_channels=channels,
        feat_channels=channels,
        use_direction_classifier=True,
        anchor_generator=dict(
            type='AlignedAnchor3DRangeGenerator',
            ranges=[[RANGE[0], RANGE[1], -1.0, RANGE[3], RANGE[4], -1.0]],
            sizes=[[3.9, 1.6, 1.56]],
            rotations=[0, 1.57],
            reshape_out=True),
        bbox_coder=dict(type='DeltaXYZWLHRBBoxCoder'),
        loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True),
        loss_bbox=dict(type='mmdet.SmoothL1Loss'),
        loss_dir=dict(type='mmdet.CrossEntropyLoss', loss_weight=0.2))


def _anchor_settings() -> dict:
    return dict(
        train_cfg=dict(
            assigner=dict(
                type='Max3DIoUAssigner',
                iou_calculator=dict(type='mmdet3d.BboxOverlapsNearest3D'),
                pos_iou_thr=0.5,
                neg_iou_thr=0.35,
                min_pos_iou=0.3,
                ignore_iof_thr=-1),
            allowed_border=0,
            pos_weight=-1,
            debug=False),
        test_cfg=dict(
            use_rotate_nms=True,
            nms_across_levels=False,
            nms_thr=0.05,
            score_thr=0.1,
            min_bbox_size=0,
            nms_pre=20,
            max_num=5))


def pointpillars(width: int = 4,
                 cap: int = 500,
                 voxel_size: Sequence[float] = (0.5, 0.5, 4),
                 max_num_points: int = 8,
                 legacy: bool = True) -> dict:
    """A small ``VoxelNet`` on pillars.

    Args:
        width (int): Channels of a pillar. Defaults to 4.
        cap (int): Maximum number of pillars per scan in training; twice as
            many in evaluation. Defaults to 500.
        voxel_size (tuple[float]): Size of a pillar in metres. Defaults to
            (0.5, 0.5, 4), which gives a map of 32x32.
        max_num_points (int): Maximum number of points per pillar. Defaults to
            8.
        legacy (bool): Argument of ``PillarFeatureNet``, which then modifies
            its input. Defaults to True, as in mmdet3d.

    Returns:
        dict: A whole config, with ``default_scope`` and ``model``.
    """
    cells = [
        round((RANGE[4] - RANGE[1]) / voxel_size[1]),
        round((RANGE[3] - RANGE[0]) / voxel_size[0])
    ]
    return dict(
        default_scope='mmdet3d',
        model=dict(
            type='VoxelNet',
            data_preprocessor=_voxels(voxel_size, cap, max_num_points),
            voxel_encoder=dict(
                type='PillarFeatureNet',
                in_channels=4,
                feat_channels=[width],
                voxel_size=list(voxel_size),
                point_cloud_range=list(RANGE),
                legacy=legacy),
            middle_encoder=dict(
                type='PointPillarsScatter',
                in_channels=width,
                output_shape=cells),
            backbone=_backbone(width, width, 2),
            neck=_neck(width),
            bbox_head=_anchor_head(2 * width),
            **_anchor_settings()))


def second(width: int = 4) -> dict:
    """A small SECOND: ``VoxelNet`` with sparse convolutions on a CPU.

    Args:
        width (int): Channels of the first sparse convolution, and half of
            the first stage of the map. Defaults to 4.

    Returns:
        dict: A whole config, with ``default_scope`` and ``model``.
    """
    return dict(
        default_scope='mmdet3d',
        model=dict(
            type='VoxelNet',
            data_preprocessor=_voxels((0.25, 0.25, 0.25), 2000, 5),
            voxel_encoder=dict(type='HardSimpleVFE'),
            middle_encoder=dict(
                type='mmkd.SparseEncoder',
                in_channels=4,
                sparse_shape=[17, 64, 64],
                base_channels=width,
                output_channels=2 * width,
                encoder_channels=((width, ), (width, width)),
                encoder_paddings=((1, ), (1, 1)),
                order=('conv', 'norm', 'act')),
            backbone=_backbone(8 * width, 2 * width, 1),
            neck=_neck(2 * width),
            bbox_head=_anchor_head(4 * width),
            **_anchor_settings()))


def centerpoint(width: int = 4) -> dict:
    """A small ``CenterPoint`` on pillars, with velocities.

    Args:
        width (int): Channels of a pillar. Defaults to 4.

    Returns:
        dict: A whole config, with ``default_scope`` and ``model``.
    """
    pillars = pointpillars(width, legacy=False)['model']
    pillars['voxel_encoder']['in_channels'] = 5
    parts = ('voxel_encoder', 'middle_encoder', 'backbone', 'neck')
    settings = dict(
        voxel_size=[0.5, 0.5], out_size_factor=2, pc_range=list(RANGE[:2]))
    return dict(
        default_scope='mmdet3d',
        model=dict(
            type='CenterPoint',
            data_preprocessor=pillars['data_preprocessor'],
            **{f'pts_{part}': pillars[part]
               for part in parts},
            pts_bbox_head=dict(
                type='CenterHead',
                in_channels=2 * width,
                tasks=[
                    dict(num_class=1, class_names=['car']),
                    dict(num_class=2, class_names=['pedestrian', 'bicycle'])
                ],
                common_heads=dict(
                    reg=(2, 2),
                    height=(1, 2),
                    dim=(3, 2),
                    rot=(2, 2),
                    vel=(2, 2)),
                share_conv_channel=2 * width,
                bbox_coder=dict(
                    type='CenterPointBBoxCoder',
                    post_center_range=[-9, -9, -10, 17, 9, 10],
                    max_num=20,
                    score_threshold=0.1,
                    code_size=9,
                    **settings),
                separate_head=dict(
                    type='SeparateHead',
                    head_conv=width,
                    init_bias=-2.19,
                    final_kernel=3),
                loss_cls=dict(type='mmdet.GaussianFocalLoss'),
                loss_bbox=dict(type='mmdet.L1Loss', loss_weight=0.25),
                norm_bbox=True),
            train_cfg=dict(
                pts=dict(
                    point_cloud_range=list(RANGE),
                    grid_size=[32, 32, 1],
                    voxel_size=[0.5, 0.5, 4],
                    out_size_factor=2,
                    dense_reg=1,
                    gaussian_overlap=0.1,
                    max_objs=20,
                    min_radius=2,
                    code_weights=[1.0] * 8 + [0.2] * 2)),
            test_cfg=dict(
                pts=dict(
                    post_center_limit_range=[-9, -9, -10, 17, 9, 10],
                    max_per_img=20,
                    max_pool_nms=False,
                    min_radius=[4, 1],
                    score_threshold=0.1,
                    nms_type='rotate',
                    pre_max_size=20,
                    post_max_size=5,
                    nms_thr=0.2,
                    **settings))))


def lidar_batch(num_scans: int = 2,
                num_points: int = 300,
                channels: int = 4,
                box_size: int = 7,
                boxes: int = 2,
                seed: int = 0,
                counts: Optional[Sequence[int]] = None) -> dict:
    """A raw batch of mmdet3d with random points and boxes.

    Args:
        num_scans (int): Number of scans. Defaults to 2.
        num_points (int): Points of each. Defaults to 300.
        channels (int): Columns of the points: x, y, z in metres, and further
            ones from 0 to 1. Defaults to 4.
        box_size (int): 7 for ``(x, y, z, dx, dy, dz, yaw)``, 9 with
            velocities. Defaults to 7.
        boxes (int): Boxes per scan, of class 0. Defaults to 2.
        seed (int): Of the random numbers. Defaults to 0.
        counts (Sequence[int], optional): Points of each scan, instead of
            ``num_scans`` and ``num_points``. Defaults to None.

    Returns:
        dict: ``inputs`` with ``points``, a list of (P, ``channels``), and
        ``data_samples``, a list of ``Det3DDataSample``.
    """
    from mmdet3d.structures import (Box3DMode, Det3DDataSample,
                                    LiDARInstance3DBoxes)
    generator = torch.Generator().manual_seed(seed)
    low, high = torch.tensor(RANGE).view(2, 3)
    points, samples = [], []
    for i, count in enumerate(counts or [num_points] * num_scans):
        scan = torch.rand((count, channels), generator=generator)
        # Denser near the sensor, so that point counts differ between pillars.
        scan[:, :2] = scan[:, :2] * scan[:, 3:4]
        scan[:, :3] = low + scan[:, :3] * (high - low)
        points.append(scan)
        box = torch.rand((boxes, box_size), generator=generator)
        box[:, :3] = low + (0.2 + 0.6 * box[:, :3]) * (high - low)
        box[:, 3:6] = torch.tensor([3.9, 1.6, 1.56])
        samples.append(
            Det3DDataSample(
                metainfo=dict(
                    box_type_3d=LiDARInstance3DBoxes,
                    box_mode_3d=Box3DMode.LIDAR,
                    sample_idx=i),
                gt_instances_3d=InstanceData(
                    bboxes_3d=LiDARInstance3DBoxes(box, box_dim=box_size),
                    labels_3d=torch.zeros(boxes, dtype=torch.long))))
    return dict(inputs=dict(points=points), data_samples=samples)


def on_a_small_region(model: ConfigDict,
                      cells: Optional[int] = None) -> ConfigDict:
    """Shrink the config of a voxel detector for CPUs: a region of 128 x 128
    pillars or 256 x 256 voxels, and sparse convolutions in plain torch.

    Args:
        model (ConfigDict): A ``VoxelNet``, ``CenterPoint`` or
            ``MVXFasterRCNN``; changed in place.
        cells (int, optional): Pillars or voxels along each side. Defaults to
            None: as above.

    Returns:
        ConfigDict: The same.
    """
    prefix = 'pts_' if 'pts_middle_encoder' in model else ''
    middle = model[f'{prefix}middle_encoder']
    layer = model.data_preprocessor.voxel_layer
    sparse = middle.type == 'SparseEncoder'
    cells = cells or (256 if sparse else 128)
    if sparse:
        middle.type = 'mmkd.SparseEncoder'
        middle.sparse_shape = [middle.sparse_shape[0], cells, cells]
    else:
        middle.output_shape = [cells, cells]
    x, y = (size * cells for size in layer.voxel_size[:2])
    low, _, bottom, _, _, top = layer.point_cloud_range
    low = 0 if low == 0 else -x / 2
    region = [low, -y / 2, bottom, low + x, y / 2, top]
    layer.point_cloud_range = region
    if 'point_cloud_range' in model[f'{prefix}voxel_encoder']:
        model[f'{prefix}voxel_encoder'].point_cloud_range = region
    if 'pts' in model.train_cfg and 'grid_size' in model.train_cfg.pts:
        model.train_cfg.pts.grid_size[:2] = [cells, cells]
        model.train_cfg.pts.point_cloud_range = region
    generator = model.get(f'{prefix}bbox_head', {}).get('anchor_generator', {})
    for anchors in generator.get('ranges', []):
        anchors[:2], anchors[3:5] = region[:2], region[3:5]
    return model
