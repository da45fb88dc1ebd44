import numpy as np
import pytest
import torch

from mmkd.bev import CameraGeometry
from mmkd.errors import ConfigError


def test_round_trip(geometry):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand((2, 3, 50, 3), generator=generator).double()
    pixels = pixels * torch.tensor([48., 32., 40.]) + torch.tensor([0, 0, .5])
    points = geometry.unproject(pixels)
    # Each camera's points, seen by this camera again.
    for i in range(3):
        again = geometry.project(points[:, i])[:, i]
        assert (again - pixels[:, i]).abs().max() < 1e-9
    single = geometry.unproject(pixels.float())
    assert (single - points).abs().max() < 1e-4


def test_formula(geometry):
    # The chain of the page, one matrix after the other.
    pixel = np.array([11., 7., 9.])
    found = geometry.unproject(torch.tensor(pixel)[None])
    for b in range(2):
        for n in range(3):
            img_aug = geometry.img_aug[b, n].numpy()
            u, v, d, _ = np.linalg.inv(img_aug) @ [*pixel[:2], 9., 1.]
            camera = np.linalg.inv(
                geometry.cam2img[b, n].numpy()) @ [u * d, v * d, d, 1]
            lidar = np.linalg.inv(geometry.lidar2cam[b, n].numpy()) @ camera
            world = geometry.lidar_aug[b].numpy() @ lidar
            assert np.abs(found[b, n, 0].numpy() - world[:3]).max() < 1e-9


def test_augmentations_leave_the_world_where_it_is(ring):
    # What a point of the scene shows in an augmented image, found in that
    # image, is the point where the augmented scene has it.
    plain, augmented = ring(augment=False), ring()
    point = torch.tensor([[6., 1., .5], [-5., 2., 1.], [-3., -6.,
                                                        0.]]).double()
    original = plain.project(point)  # (B, N, P, 3)
    ones = torch.ones_like(original[..., :1])
    vectors = torch.cat([original, ones], -1)
    moved = (vectors @ augmented.img_aug.transpose(-1, -2))[..., :3]
    world = torch.cat([point, torch.ones(3, 1)], -1).double()
    expected = (world @ augmented.lidar_aug.transpose(-1, -2))[..., :3]
    seen = original[..., 2] > .1
    assert seen.sum() >= 6
    gap = augmented.unproject(moved) - expected[:, None]
    assert gap[seen].abs().max() < 1e-9


def test_metas(geometry):
    metas = [
        dict(
            cam2img=np.tile(np.eye(4), (2, 1, 1)),
            lidar2cam=np.tile(np.eye(4), (2, 1, 1)))
    ]
    found = CameraGeometry.from_metas(metas, (4, 6))
    assert found.num_cameras == 2 and found.cam2img.dtype == torch.float64
    assert found.lidar_aug.equal(torch.eye(4).double()[None])
    assert found.same_as(CameraGeometry.from_metas(metas, (4, 6)))
    assert not found.same_as(CameraGeometry.from_metas(metas, (4, 8)))
    assert not found.same_as(geometry) and not found.same_as(None)
    with pytest.raises(ConfigError, match='LoadMultiViewImages'):
        CameraGeometry.from_metas([dict(cam2img=np.eye(4))], (4, 6))
    one = dict(cam2img=np.eye(4)[None], lidar2cam=np.eye(4)[None])
    with pytest.raises(ConfigError, match='numbers of cameras'):
        CameraGeometry.from_metas([*metas, one], (4, 6))
