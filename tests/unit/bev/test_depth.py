import math

import numpy as np
import pytest
import torch

from mmkd.bev import (CameraGeometry, DepthBins, complete_depth,
                      depth_cross_entropy, pool_depth, render_depth)
from mmkd.errors import ConfigError
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator, values


def test_lid_bins():
    # Those of CaDDN on KITTI.
    bins = DepthBins(2., 46.8, 120, 'LID')
    depth = torch.tensor([2., 2.0062, 2.02, 10., 46.79])
    assert bins.index(depth).tolist() == [0, 1, 2, 50, 119]
    depth = torch.tensor([0., 1.99, 46.8, 80., math.nan])
    assert bins.index(depth).tolist() == [120] * 5
    edges = bins.edges()
    assert edges[60].item() == pytest.approx(13.293, abs=1e-3)
    assert edges[61].item() == pytest.approx(13.669, abs=1e-3)
    assert (edges[1] - edges[0]).item() == pytest.approx(.00617, abs=1e-4)
    assert (edges[-1] - edges[-2]).item() == pytest.approx(.74, abs=1e-2)


@pytest.mark.parametrize('mode', ['UD', 'LID', 'SID'])
def test_edges_and_positions_agree(mode):
    bins = DepthBins(1., 53., 26, mode)
    edges = bins.edges()
    assert edges[0].item() == pytest.approx(1)
    assert edges[-1].item() == pytest.approx(53)
    assert torch.allclose(
        bins.position(edges), torch.arange(27).double(), atol=1e-9)
    middle = (edges[1:] + edges[:-1]) / 2
    assert bins.index(middle).tolist() == list(range(26))


def test_one_hot():
    hot = DepthBins(1., 4., 3).one_hot(torch.tensor([[[1.5, 0., 3.9]]]))
    assert hot.shape == (1, 3, 1, 3)
    assert hot[0, :, 0].T.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_wrong_bins():
    with pytest.raises(ConfigError, match='UD, LID or SID'):
        DepthBins(1., 4., 3, 'log')
    with pytest.raises(ConfigError, match='low < high'):
        DepthBins(4., 1., 3)


def test_nearest_point_of_a_pixel():
    cam2img = np.array([[2., 0, 2, 0], [0, 2, 1, 0], [0, 0, 1, 0],
                        [0, 0, 0, 1]])[None]
    meta = dict(cam2img=cam2img, lidar2cam=np.eye(4)[None])
    geometry = CameraGeometry.from_metas([meta, meta], (3, 5))
    # In the frame of the camera: the same ray twice, one pixel to the right,
    # behind, outside.
    points = torch.tensor([[0., 0., 4., 7.], [0., 0., 2.,
                                              7.], [1., 0., 2., 7.],
                           [0., 0., -3., 7.], [9., 0., 2., 7.]])
    depth = render_depth([points, points[:0]], geometry)
    assert depth.shape == (2, 1, 3, 5)
    assert depth[0, 0, 1].tolist() == [0, 0, 2, 2, 0]
    assert depth.sum() == 4


def test_depth_follows_the_augmentations(ring):
    # The points move with the scene, and the map with the image.
    geometry = ring(size=(64, 96))
    pixels = torch.tensor([[10., 12., 8.], [30., 9., 15.]]).double()
    points = geometry.unproject(pixels)[0, 1]
    depth = render_depth([points, points], geometry)
    assert depth[0, 1, 12, 10].item() == pytest.approx(8, abs=1e-4)
    assert depth[0, 1, 9, 30].item() == pytest.approx(15, abs=1e-4)
    assert (depth[0, 1] > 0).sum() == 2


def test_flips_mirror_the_depth_map(ring):
    """Flipped points, seen by a flipped image: the map in a mirror."""
    from mmdet3d.structures import LiDARPoints

    from mmkd.data.multi_view import BEVAug3D, ImageAug3D
    size = (40, 60)
    cam2img = np.array([[30., 0, 29.5, 0], [0, 30, 19.5, 0], [0, 0, 1, 0],
                        [0, 0, 0, 1]])
    lidar2cam = np.array([[0., -1, 0, .1], [0, 0, -1, -.2], [1, 0, 0, -.3],
                          [0, 0, 0, 1]])
    rng = np.random.default_rng(0)
    points = rng.uniform((2, -12, -2), (25, 12, 3), (400, 3))
    points = torch.from_numpy(points).float()

    def rendered(image_flip, scene_flip):
        results = dict(
            img=[np.zeros((*size, 3), np.uint8)],
            img_aug_matrix=np.eye(4)[None],
            points=LiDARPoints(points.clone(), points_dim=3))
        results = ImageAug3D(size, flip_ratio=image_flip).transform(results)
        results = BEVAug3D((0, 0), (1, 1), flip_x=0.,
                           flip_y=scene_flip).transform(results)
        moved = results.pop('points').tensor
        assert bool(scene_flip) == (not moved.equal(points))
        meta = dict(results, cam2img=cam2img[None], lidar2cam=lidar2cam[None])
        return render_depth([moved], CameraGeometry.from_metas([meta],
                                                               size))[0, 0]

    plain = rendered(0., 0.)
    assert 100 < (plain > 0).sum() < 400
    for scene_flip in (0., 1.):
        # The scene's flip alone is not seen, as its matrix is undone.
        for image_flip, expected in ((0., plain), (1., plain.flip(1))):
            found = rendered(image_flip, scene_flip)
            # Rounding may move a point by a pixel.
            assert ((found > 0) == (expected > 0)).float().mean() > .995
            both = (found > 0) & (expected > 0)
            assert (found - expected)[both].abs().median() < 1e-4


def test_completion():
    depth = torch.zeros(1, 6, 9)
    depth[0, 2, 2], depth[0, 2, 4] = 8., 5.
    found = complete_depth(depth, 3)
    # Known ones stay, the nearer one wins between them.
    assert found[0, 2].tolist() == [0, 8, 8, 5, 5, 5, 0, 0, 0]
    assert found[0, 1].tolist() == [0, 8, 8, 5, 5, 5, 0, 0, 0]
    assert (found[0, 4:] == 0).all()
    assert complete_depth(depth, 1).equal(depth)
    assert complete_depth(torch.zeros(2, 3, 4, 5)).abs().sum() == 0
    assert complete_depth(depth[None]).shape == (1, 1, 6, 9)
    with pytest.raises(ValueError, match='odd'):
        complete_depth(depth, 4)


def test_pooling():
    depth = torch.tensor([[[4., 0, 0, 0, 6], [2, 0, 0, 0, 0]]])
    assert pool_depth(depth, 2).tolist() == [[[2, 0, 6]]]
    assert pool_depth(depth, 2, 'mean').tolist() == [[[3, 0, 6]]]
    assert pool_depth(depth[None], 2).shape == (1, 1, 1, 3)
    with pytest.raises(ValueError, match='min'):
        pool_depth(depth, 2, 'max')


def test_loss():
    bins = DepthBins(1., 4., 3)
    logits = torch.zeros(1, 3, 1, 2, requires_grad=True)
    depth = torch.tensor([[[1.5, 0.]]])
    loss = depth_cross_entropy(logits, depth, bins)
    assert loss.item() == pytest.approx(math.log(3))
    loss.backward()
    assert (logits.grad[..., 1] == 0).all()  # unknown depth
    zero = depth_cross_entropy(logits, torch.zeros(1, 1, 2), bins)
    zero.backward()
    assert zero.item() == 0
    # A class for what lies in no bin takes part in the softmax alone.
    assert depth_cross_entropy(torch.zeros(1, 4, 1, 2), depth,
                               bins).item() == pytest.approx(math.log(4))


def test_a_device_is_not_waited_for():
    cam2img = np.array([[2., 0, 2, 0], [0, 2, 1, 0], [0, 0, 1, 0],
                        [0, 0, 0, 1]])[None]
    meta = dict(cam2img=cam2img, lidar2cam=np.eye(4)[None])
    points = torch.rand(40, 3) * 4 - torch.tensor([2., 2., 1.])
    bins, logits = DepthBins(1., 4., 3), torch.randn(2, 3, 3, 5)

    def loss(logits, clouds):
        geometry = CameraGeometry.from_metas([meta, meta], (3, 5),
                                             logits.device)
        depth = complete_depth(render_depth(clouds, geometry)).flatten(0, 1)
        return depth_cross_entropy(logits, depth, bins)

    expected = loss(logits, [points, points[:9]])
    with PretendedAccelerator() as accelerator:
        there = [x.to(DEVICE) for x in (logits, points, points[:9])]
        accelerator.waits.clear()
        found = loss(there[0], there[1:])
    assert not accelerator.waits and not accelerator.refused
    assert len(accelerator.sent) == 1
    assert expected > 0 and values(found).equal(expected)
