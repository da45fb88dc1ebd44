import math

import numpy as np
import pytest
import torch

from mmkd.bev import CameraGeometry

#: Camera axes (x right, y down, z front) in a frame with x front, z up.
AXES = np.array([[0., 0., 1.], [-1., 0., 0.], [0., -1., 0.]])


def pinhole(width, height, focal, yaw, position):
    """Intrinsics and LiDAR-to-camera matrix of a level camera."""
    cam2img = np.eye(4)
    cam2img[[0, 1], [0, 1]] = focal
    cam2img[:2, 2] = (width - 1) / 2, (height - 1) / 2
    turn = np.array([[math.cos(yaw), -math.sin(yaw), 0],
                     [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]])
    cam2lidar = np.eye(4)
    cam2lidar[:3, :3] = turn @ AXES
    cam2lidar[:3, 3] = position
    return cam2img, np.linalg.inv(cam2lidar)


def bev_matrix(angle=0., scale=1., shift=(0, 0, 0), flips=()):
    """M = flip * translation * scaling * rotation."""
    matrix = np.eye(4)
    matrix[:2, :2] = [[math.cos(angle), -math.sin(angle)],
                      [math.sin(angle), math.cos(angle)]]
    matrix[:3] *= scale
    matrix[:3, 3] = shift
    for axis in flips:
        matrix[axis] *= -1
    return matrix


def make_geometry(batch=2, cameras=3, size=(32, 48), augment=True, seed=0):
    """A ring of cameras under random augmentation of images and scene."""
    rng = np.random.default_rng(seed)
    metas = []
    for _ in range(batch):
        rig, image_augs = [], []
        for i in range(cameras):
            rig.append(
                pinhole(60, 40, rng.uniform(35, 45),
                        2 * math.pi * i / cameras + rng.normal(0, .1),
                        rng.normal(0, .4, 3) + (0, 0, 1)))
            angle, ratio = rng.normal(0, .05), rng.uniform(.8, 1.2)
            image_aug = np.eye(4)
            image_aug[:2, :2] = ratio * np.array([[
                math.cos(angle), math.sin(angle)
            ], [-math.sin(angle), math.cos(angle)]])
            image_aug[:2, 3] = rng.uniform(-8, 4, 2)
            if rng.random() < .5:
                image_aug = np.diag([-1., 1, 1, 1]) @ image_aug
                image_aug[0, 3] += size[1] - 1
            image_augs.append(image_aug)
        cam2img, lidar2cam = zip(*rig)
        meta = dict(cam2img=np.stack(cam2img), lidar2cam=np.stack(lidar2cam))
        lidar_aug = bev_matrix(
            rng.uniform(-3, 3), rng.uniform(.9, 1.1), rng.normal(0, .5, 3),
            np.flatnonzero(rng.random(2) < .5))
        if augment:
            meta['img_aug_matrix'] = np.stack(image_augs)
            meta['lidar_aug_matrix'] = lidar_aug
        metas.append(meta)
    return CameraGeometry.from_metas(metas, size)


@pytest.fixture
def camera():
    return pinhole


@pytest.fixture
def geometry():
    return make_geometry()


@pytest.fixture
def ring():
    return make_geometry


@pytest.fixture
def random_maps():
    """Depth distributions and context of M images."""

    def make(images, bins, channels, size, dtype=torch.float32):
        generator = torch.Generator().manual_seed(0)
        depth = torch.randn((images, bins, *size),
                            generator=generator,
                            dtype=dtype)
        context = torch.randn((images, channels, *size),
                              generator=generator,
                              dtype=dtype)
        return (depth.softmax(1).requires_grad_(), context.requires_grad_())

    return make
