"""Detectors in bird's-eye view that run in milliseconds, and their batches."""
import copy
import math
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

#: Classes by task of the head.
BEV_TASKS = (('car', ), ('truck', 'bus'))
#: x, y, z in metres; the map has 24 x 32 cells (rows, columns) of 0.8 m.
BEV_RANGE = (-12.8, -9.6, -3., 12.8, 9.6, 1.)
_CELL = .8
_IMAGE = (32, 64)
_CELLS = [round((BEV_RANGE[i + 3] - BEV_RANGE[i]) / _CELL) for i in (0, 1)]
_HEIGHT = BEV_RANGE[5] - BEV_RANGE[2]
_PILLAR = [_CELL / 2, _CELL / 2, _HEIGHT]
_SIZE = dict(
    pc_range=list(BEV_RANGE[:2]), out_size_factor=1, voxel_size=[_CELL, _CELL])
_TRAIN_CFG = dict(
    point_cloud_range=list(BEV_RANGE),
    grid_size=[*_CELLS, 1],
    voxel_size=[_CELL, _CELL, _HEIGHT],
    out_size_factor=1,
    dense_reg=1,
    gaussian_overlap=.1,
    max_objs=20,
    min_radius=1,
    code_weights=[1.] * 8 + [.2, .2])
_TEST_CFG = dict(
    post_center_limit_range=[-20, -20, -10, 20, 20, 10],
    score_threshold=0.,
    nms_type='rotate',
    pre_max_size=40,
    post_max_size=20,
    nms_thr=.2,
    **_SIZE)


def bev_detector(camera: bool = True,
                 lidar: bool = False,
                 width: int = 8,
                 tasks: Sequence[Sequence[str]] = BEV_TASKS,
                 **kwargs) -> dict:
    """A small ``BEVDetector`` with a ``CenterHead``.

    Args:
        camera (bool): Whether it has cameras. Defaults to True.
        lidar (bool): Whether it has a LiDAR. Defaults to False.
        width (int): Channels of the low-level map. Defaults to 8.
        tasks (Sequence[Sequence[str]]): Classes of each task of the head.
            Defaults to two tasks of three classes.
        kwargs: More arguments of ``BEVDetector``.

    Returns:
        dict: A config with ``default_scope`` and ``model``.
    """
    preprocessor = dict(type='Det3DDataPreprocessor')
    parts = {}
    if camera:
        preprocessor.update(
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            pad_size_divisor=16)
        parts.update(_camera_parts(width))
    if lidar:
        preprocessor.update(
            voxel=True,
            voxel_layer=dict(
                max_num_points=8,
                point_cloud_range=list(BEV_RANGE),
                voxel_size=_PILLAR,
                max_voxels=(500, 500)))
        parts.update(_lidar_parts(width))
    if camera and lidar:
        parts['fusion_layer'] = dict(
            type='mmkd.ConvFuser',
            in_channels=[width, width],
            out_channels=width)
    model = dict(
        type='mmkd.BEVDetector',
        data_preprocessor=preprocessor,
        **parts,
        bev_backbone=dict(
            type='SECOND',
            in_channels=width,
            out_channels=[width, 2 * width],
            layer_nums=[0, 0],
            layer_strides=[1, 2]),
        bev_neck=dict(
            type='SECONDFPN',
            in_channels=[width, 2 * width],
            out_channels=[width, width],
            upsample_strides=[1, 2]),
        bbox_head=_head(width, tasks),
        train_cfg=_TRAIN_CFG,
        test_cfg=_TEST_CFG)
    model = copy.deepcopy(model)  # the caller may change it
    model.update(kwargs)
    return dict(default_scope='mmdet3d', model=model)


def _camera_parts(width: int) -> dict:
    """Camera branch: from two ResNet stages to a map with ``width``
    channels."""
    return dict(
        img_backbone=dict(
            type='mmdet.ResNet',
            depth=18,
            base_channels=4,
            stem_channels=4,
            num_stages=2,
            strides=(1, 2),
            dilations=(1, 1),
            out_indices=(1, ),
            norm_cfg=dict(type='BN')),
        view_transform=dict(
            type='mmkd.LSSViewTransform',
            in_channels=8,
            out_channels=width,
            point_cloud_range=BEV_RANGE,
            voxel_size=[_CELL, _CELL, _HEIGHT],
            depth=dict(low=1., high=19., num=18),
            pixels='centre',
            depths='centre'))


def _lidar_parts(width: int) -> dict:
    """LiDAR branch: from pillars of half a cell to a map with ``width``
    channels."""
    return dict(
        pts_voxel_encoder=dict(
            type='PillarFeatureNet',
            in_channels=5,
            feat_channels=[width],
            with_distance=False,
            voxel_size=_PILLAR,
            point_cloud_range=list(BEV_RANGE),
            norm_cfg=dict(type='BN1d'),
            legacy=False),
        pts_middle_encoder=dict(
            type='PointPillarsScatter',
            in_channels=width,
            output_shape=[2 * _CELLS[1], 2 * _CELLS[0]]),
        pts_backbone=dict(
            type='SECOND',
            in_channels=width,
            out_channels=[width],
            layer_nums=[0],
            layer_strides=[2]))


def _head(width: int, tasks: Sequence[Sequence[str]]) -> dict:
    """A ``CenterHead`` over the neck."""
    return dict(
        type='CenterHead',
        in_channels=2 * width,
        tasks=[
            dict(num_class=len(task), class_names=list(task)) for task in tasks
        ],
        common_heads=dict(
            reg=(2, 2), height=(1, 2), dim=(3, 2), rot=(2, 2), vel=(2, 2)),
        share_conv_channel=width,
        bbox_coder=dict(
            type='CenterPointBBoxCoder',
            post_center_range=[-20, -20, -10, 20, 20, 10],
            max_num=20,
            score_threshold=0.,
            code_size=9,
            **_SIZE),
        separate_head=dict(
            type='SeparateHead',
            head_conv=width,
            init_bias=-2.19,
            final_kernel=3),
        loss_cls=dict(type='mmdet.GaussianFocalLoss', reduction='mean'),
        loss_bbox=dict(type='mmdet.L1Loss', reduction='mean', loss_weight=.25),
        norm_bbox=True)


def _ring(cameras: int) -> Tuple[np.ndarray, np.ndarray]:
    """Intrinsics and LiDAR-to-camera matrices of a ring of level cameras."""
    height, width = _IMAGE
    cam2img = np.tile(np.eye(4), (cameras, 1, 1))
    cam2img[:, [0, 1], [0, 1]] = width / 2
    cam2img[:, :2, 2] = (width - 1) / 2, (height - 1) / 2
    lidar2cam = np.tile(np.eye(4), (cameras, 1, 1))
    for i in range(cameras):
        yaw = 2 * math.pi * i / cameras
        front = [math.cos(yaw), math.sin(yaw), 0]
        right = [math.sin(yaw), -math.cos(yaw), 0]
        lidar2cam[i, :3, :3] = right, [0, 0, -1], front
    return cam2img, lidar2cam


def bev_batch(num_samples: int = 2,
              cameras: int = 2,
              boxes: Optional[Sequence[int]] = None,
              points: Optional[Sequence[int]] = None,
              seed: int = 0,
              num_classes: int = 3) -> dict:
    """A raw batch of mmdet3d with images, points and boxes.

    Args:
        num_samples (int): Number of samples. Defaults to 2.
        cameras (int): Cameras of each, looking around; 0 for a batch without
            images. Defaults to 2.
        boxes (Sequence[int], optional): Boxes of each sample. Defaults to
            None: 3 of them.
        points (Sequence[int], optional): Points of each sample; ``()`` for a
            batch without points. Defaults to None: 300 of them.
        seed (int): Of the random numbers. Defaults to 0.
        num_classes (int): Labels are below it. Defaults to 3.

    Returns:
        dict: ``inputs`` with ``img``, uint8 (cameras, 3, 32, 64), and
        ``points`` (n, 5), and ``data_samples``, a list of
        ``Det3DDataSample``.
    """
    from mmdet3d.structures import (Box3DMode, Det3DDataSample,
                                    LiDARInstance3DBoxes)
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    low, high = torch.tensor(BEV_RANGE).view(2, 3)
    boxes = [3] * num_samples if boxes is None else boxes
    points = [300] * num_samples if points is None else points
    inputs, samples = {}, []
    if cameras:
        inputs['img'] = [
            torch.randint(
                0,
                256, (cameras, 3, *_IMAGE),
                generator=generator,
                dtype=torch.uint8) for _ in range(num_samples)
        ]
    if points:
        clouds: List[torch.Tensor] = []
        for count in points:
            cloud = rand(count, 5)
            cloud[:, :3] = low + cloud[:, :3] * (high - low)
            clouds.append(cloud)
        inputs['points'] = clouds
    cam2img, lidar2cam = _ring(max(cameras, 1))
    for count in boxes:
        box = rand(count, 9)
        box[:, :3] = low + (.15 + .7 * box[:, :3]) * (high - low)
        box[:, 3:6] = 1 + 3 * box[:, 3:6]
        box[:, 6] = (box[:, 6] - .5) * 6
        samples.append(
            Det3DDataSample(
                metainfo=dict(
                    cam2img=cam2img,
                    lidar2cam=lidar2cam,
                    box_type_3d=LiDARInstance3DBoxes,
                    box_mode_3d=Box3DMode.LIDAR,
                    sample_idx=len(samples)),
                gt_instances_3d=InstanceData(
                    bboxes_3d=LiDARInstance3DBoxes(box, box_dim=9),
                    labels_3d=torch.randint(
                        0, num_classes, (count, ), generator=generator))))
    return dict(inputs=inputs, data_samples=samples)


def bev_on_a_small_region(model: ConfigDict) -> ConfigDict:
    """Shrink the config of a ``BEVDetector`` for CPUs: a map of 16 x 16 cells
    around the sensors, 128 x 128 voxels, and sparse convolutions in plain
    torch.

    Args:
        model (ConfigDict): A model with eight LiDAR voxels per cell, and
            centre or anchor heads; changed in place.

    Returns:
        ConfigDict: The same.
    """
    cells, voxels = 16, 128
    if 'view_transform' in model:
        part = model.view_transform
        cell = part.voxel_size[0]
        model.img_backbone.init_cfg = None  # weights of the net
    else:
        part = model.data_preprocessor.voxel_layer
        cell = part.voxel_size[0] * voxels / cells
    half = cell * cells / 2
    _, _, bottom, _, _, top = part.point_cloud_range
    region = [-half, -half, bottom, half, half, top]
    if 'view_transform' in model:
        model.view_transform.point_cloud_range = region
    if 'pts_middle_encoder' in model:
        model.data_preprocessor.voxel_layer.point_cloud_range = region
        middle = model.pts_middle_encoder
        middle.type = 'mmkd.SparseEncoder'
        middle.sparse_shape = [middle.sparse_shape[0], voxels, voxels]
    if 'grid_size' in model.train_cfg:
        model.train_cfg.grid_size[:2] = [voxels, voxels]
        model.train_cfg.point_cloud_range = region
    generator = model.bbox_head.get('anchor_generator', {})
    for anchors in generator.get('ranges', []):
        anchors[:2], anchors[3:5] = region[:2], region[3:5]
    return model


def kitti_bev_batch(**kwargs) -> dict:
    """``bev_batch`` with one camera, boxes without velocities, and points with
    four columns that are visible to the camera in the small region.

    Args:
        kwargs: Arguments of ``bev_batch``.

    Returns:
        dict: ``inputs`` and ``data_samples``.
    """
    batch = in_sight(bev_batch(cameras=1, **kwargs))
    inputs = batch['inputs']
    inputs['points'] = [cloud[:, :4] for cloud in inputs['points']]
    for sample in batch['data_samples']:
        boxes = sample.gt_instances_3d.bboxes_3d
        sample.gt_instances_3d.bboxes_3d = type(boxes)(boxes.tensor[:, :7])
    return batch


def in_sight(batch: dict) -> dict:
    """Move the points of a batch into view of the cameras, to the centre of a
    cell of :func:`bev_on_a_small_region`.

    Args:
        batch (dict): Result of ``bev_batch``; changed in place.

    Returns:
        dict: The same.
    """
    for cloud in batch['inputs']['points']:
        cloud[:, 0] = 2.4 * cloud[:, 0].sign()
        cloud[:, 1:3] *= .2
    return batch
