import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmkd.bev import (CameraGeometry, LSSViewTransform, SamplingViewTransform,
                      lift_pool, render_depth)
from mmkd.errors import ConfigError

RANGE, CELL = [-10, -8, -2, 10, 8, 4], [2., 2., 3.]
BINS = dict(low=1., high=13., num=6)
SIZE = (4, 6)


def lift(cls=LSSViewTransform, **kwargs):
    torch.manual_seed(0)
    return cls(
        **{
            **dict(
                in_channels=5,
                out_channels=3,
                point_cloud_range=RANGE,
                voxel_size=CELL,
                depth=BINS),
            **kwargs
        })


def features(images=6, size=SIZE):
    return torch.randn((images, 5, *size),
                       generator=torch.Generator().manual_seed(3))


def slow_splat(transform, feat, geometry):
    """Lift-splat as the page has it, in float64, a point at a time."""
    net = transform.depth_net.double()
    out = net(feat.double())
    alpha, context = out[:, :6].softmax(1), out[:, 6:]
    _, _, h, w = feat.shape
    height, width = geometry.image_size
    batch, cameras = geometry.cam2img.shape[:2]
    nz, ny, nx = transform.grid.shape
    low, cell = np.array(RANGE[:3]), np.array(CELL)
    bev = [[[[torch.zeros(3).double() for _ in range(nx)] for _ in range(ny)]
            for _ in range(nz)] for _ in range(batch)]
    for b, n in itertools.product(range(batch), range(cameras)):
        undo = np.linalg.inv(geometry.img_aug[b, n].numpy())
        inverse = np.linalg.inv(geometry.cam2img[b, n].numpy())
        back = geometry.lidar_aug[b].numpy() @ np.linalg.inv(
            geometry.lidar2cam[b, n].numpy())
        for k, i, j in itertools.product(range(6), range(h), range(w)):
            d = 1. + 2. * k
            u, v = j * (width - 1) / (w - 1), i * (height - 1) / (h - 1)
            u, v, _, _ = undo @ [u, v, d, 1]
            point = (back @ inverse @ [u * d, v * d, d, 1])[:3]
            x, y, z = np.floor((point - low) / cell).astype(int)
            if 0 <= x < nx and 0 <= y < ny and 0 <= z < nz:
                m = b * cameras + n
                bev[b][z][y][x] = bev[b][z][y][x] + alpha[
                    m, k, i, j] * context[m, :, i, j]
    rows = [torch.stack(row) for b in bev for z in b for row in z]
    maps = torch.stack(rows).view(batch, nz, ny, nx, 3)
    return maps.permute(0, 1, 4, 2, 3).reshape(batch, nz * 3, ny, nx)


@pytest.mark.parametrize('pooling', ['fused', 'index_add'])
def test_splat_is_that_of_the_formula(geometry, pooling):
    transform = lift(pooling=pooling)
    feat, weight = features(), torch.randn(2, 6, 8, 10)
    found = {}
    for name in ('fast', 'slow'):
        x = feat.clone().requires_grad_()
        transform.zero_grad()
        bev = transform.float()(x, geometry)[0] if name == 'fast' else \
            slow_splat(transform, x, geometry)
        (bev * weight).sum().backward()
        found[name] = (bev.detach(), x.grad,
                       transform.depth_net.weight.grad.clone())
    assert found['fast'][0].shape == (2, 6, 8, 10)
    assert (found['fast'][0] != 0).float().mean() > .2
    for fast, slow in zip(found['fast'], found['slow']):
        assert (fast - slow).abs().max() < 1e-5 * max(1, slow.abs().max())


def test_sum_over_cells(geometry):
    # What is kept arrives, and nothing twice.
    transform = lift()
    index = transform.make_index(geometry, SIZE)
    ones = torch.ones(6, 3, *SIZE)
    depth = torch.rand(6, 6, *SIZE)
    total = lift_pool(depth, ones, index)[:, 0].sum()
    assert total.item() == pytest.approx(
        depth.flatten()[index.depth].sum().item(), rel=1e-5)
    assert len(set(index.depth.tolist())) == len(index.depth)


def test_cameras_commute_and_samples_do_not_leak(geometry):
    transform, feat = lift(), features()
    bev, _ = transform(feat, geometry)
    order = torch.tensor([2, 0, 1])
    turned = CameraGeometry(geometry.cam2img[:,
                                             order], geometry.lidar2cam[:,
                                                                        order],
                            geometry.img_aug[:, order], geometry.lidar_aug,
                            geometry.image_size)
    other = feat.view(2, 3, 5, *SIZE)[:, order].flatten(0, 1)
    assert torch.allclose(transform(other, turned)[0], bev, atol=1e-5)
    changed = feat.clone()
    changed[3:] += 1
    again, _ = transform(changed, geometry)
    assert again[0].equal(bev[0]) and not again[1].equal(bev[1])


def test_rotation_of_the_scene_rotates_the_map(ring):
    plain = ring(batch=1, augment=False)
    quarter = torch.tensor([[0., -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0],
                            [0, 0, 0, 1]]).double()[None]
    turned = CameraGeometry(plain.cam2img, plain.lidar2cam, plain.img_aug,
                            quarter, plain.image_size)
    transform = lift(point_cloud_range=[-8, -8, -2, 8, 8, 4])
    feat = features(3)
    bev, _ = transform(feat, plain)
    assert (bev != 0).any()
    # A quarter to the left takes +x (columns) to +y (rows).
    expected = bev.transpose(2, 3).flip(3)
    assert torch.allclose(transform(feat, turned)[0], expected, atol=1e-5)


def test_camera_that_sees_nothing_of_the_range():
    meta = dict(
        cam2img=np.diag([20., 20, 1, 1])[None], lidar2cam=np.eye(4)[None])
    meta['lidar2cam'][0, :3, 3] = 0, 0, 500
    geometry = CameraGeometry.from_metas([meta], (32, 48))
    for cls in (LSSViewTransform, SamplingViewTransform):
        transform = lift(cls)
        bev, _ = transform(features(1), geometry)
        bev.sum().backward()
        assert (bev == 0).all()
        assert (transform.depth_net.weight.grad == 0).all()


def test_pixels_and_depths_of_the_frustum():
    frustum = lift().frustum((32, 48), (4, 6))
    assert frustum.shape == (6, 4, 6, 3)
    assert frustum[0, 0, :,
                   0].tolist() == pytest.approx([0, 9.4, 18.8, 28.2, 37.6, 47])
    assert frustum[:, 0, 0, 2].tolist() == [1, 3, 5, 7, 9, 11]
    frustum = lift(pixels='centre', depths='centre').frustum((32, 48), (4, 6))
    assert frustum[0, :, 0, 1].tolist() == [3.5, 11.5, 19.5, 27.5]
    assert frustum[:, 0, 0, 2].tolist() == [2, 4, 6, 8, 10, 12]
    with pytest.raises(ConfigError, match='linspace or centre'):
        lift(pixels='corner')
    with pytest.raises(ConfigError, match='fused, index_add'):
        lift(pooling='loop')


@pytest.mark.parametrize('cls', [LSSViewTransform, SamplingViewTransform])
@pytest.mark.parametrize('seed', range(3))
def test_features_land_where_their_points_are(ring, cls, seed):
    # One bright pixel with the depth that the LiDAR gives falls into the cell
    # of its point, whatever became of the image and of the scene.
    geometry = ring(size=(64, 96), seed=seed)
    for camera in range(3):
        pixel = torch.tensor([[43., 31., 9.4]]).double()
        point = geometry.unproject(pixel)[0, camera]
        depth = render_depth([point, point[:0]], geometry).flatten(0, 1)
        # The point in the middle of cell (row 20, column 25).
        x, y, z = point[0].tolist()
        transform = lift(
            cls,
            in_channels=1,
            out_channels=1,
            point_cloud_range=[
                x - 25.5, y - 20.5, z - .5, x + 20.5, y + 25.5, z + .5
            ],
            voxel_size=[1, 1, 1],
            depth=dict(low=1., high=21., num=40),
            **(dict(pixels='centre', depths='centre')
               if cls is LSSViewTransform else {}))
        transform.depth_net.weight.data.zero_()
        transform.depth_net.weight.data[-1] = 1  # context = feature
        transform.depth_net.bias.data.zero_()
        bev, _ = transform((depth > 0).float()[:, None], geometry,
                           transform.bins.one_hot(depth))
        assert bev[0, 0].nonzero().tolist() == [[20, 25]]
        assert (bev[1] == 0).all()


@pytest.mark.parametrize('seed', range(2))
def test_sensors_and_boxes_meet(camera, seed):
    """After augmentation, the voxel of a LiDAR point in the middle of an
    object, the cell that its pixel falls into and the peak of its blob."""
    from mmdet3d.structures import LiDARInstance3DBoxes, LiDARPoints

    from mmkd.data.multi_view import BEVAug3D, ImageAug3D
    from mmkd.methods.unidistill.losses import box_gaussian_mask
    size, limits, cell = (32, 56), [-24., -20., -8., 24., 20., 8.], 1.
    rng = np.random.default_rng(seed)
    rig = [
        camera(63, 36, 31, yaw, (.3, -.2, .5))
        for yaw in (0, math.pi / 2, math.pi, 3 * math.pi / 2)
    ]
    distance, angle = rng.uniform(5, 13, 8), rng.uniform(-3, 3, 8)
    boxes = np.stack([
        distance * np.cos(angle), distance * np.sin(angle),
        rng.uniform(-1, 0, 8), *rng.uniform(.6, 2, (3, 8)), angle
    ], 1)
    boxes = LiDARInstance3DBoxes(torch.from_numpy(boxes).float())
    results = dict(
        gt_bboxes_3d=boxes.clone(),
        points=LiDARPoints(boxes.gravity_center.clone()),
        img=[np.zeros((36, 63, 3), np.uint8)] * 4,
        img_aug_matrix=np.tile(np.eye(4), (4, 1, 1)))
    np.random.seed(seed)
    results = ImageAug3D(size, (.95, 1.2), .5, 5., True).transform(results)
    results = BEVAug3D(translation_std=.3).transform(results)
    cam2img, lidar2cam = (np.stack(x) for x in zip(*rig))
    geometry = CameraGeometry.from_metas(
        [dict(results, cam2img=cam2img, lidar2cam=lidar2cam)], size)
    boxes = results['gt_bboxes_3d']
    splat = LSSViewTransform(
        1,
        1,
        limits, [cell, cell, 16],
        dict(low=1., high=25., num=60),
        pixels='centre',
        depths='centre',
        reuse_index=True)
    splat.depth_net.weight.data.zero_()
    splat.depth_net.weight.data[-1] = 1  # context = feature
    splat.depth_net.bias.data.zero_()
    columns, seen = splat.grid.shape[2], 0
    for i in range(len(boxes)):
        point = results['points'].tensor[i:i + 1]
        depth = render_depth([point], geometry)[0]
        lidar = splat.grid.index(point).item()
        mask = box_gaussian_mask([boxes[i:i + 1].bev], splat.grid.shape[1:],
                                 [limits[j] for j in (0, 1, 3, 4)])
        places = [lidar, mask.flatten().argmax().item()]
        assert mask.max() == 1
        if depth.any():  # not cropped away
            seen += 1
            bev, _ = splat((depth > 0).float()[:, None], geometry,
                           splat.bins.one_hot(depth))
            places.append(bev.flatten().argmax().item())
        rows = [place // columns for place in places]
        across = [place % columns for place in places]
        assert max(rows) - min(rows) <= 1
        assert max(across) - min(across) <= 1
    assert seen >= 4


def volume_by_grid_sample(transform, feat, geometry):
    """CaDDN's lift with the tensor of all products, in float64."""
    net = transform.depth_net.double()
    out = net(feat.double())
    count = transform.bins.num
    alpha = out[:, :transform._num_logits].softmax(1)[:, :count]
    volume = alpha[:, None] * out[:, None, transform._num_logits:].transpose(
        1, 2)
    points = transform.grid.centres(dtype=torch.float64).view(-1, 3)
    u, v, d = geometry.project(points).flatten(0, 1).unbind(-1)
    d = d - geometry.cam2img[:, :, 2, 3].flatten()[:, None]
    height, width = geometry.image_size
    place = torch.stack([
        2 * u / (width - 1) - 1, 2 * v /
        (height - 1) - 1, 2 * transform.bins.position(d) / (count - 1) - 1
    ], -1)
    place = place.where(place.isfinite() & (d > 0)[..., None],
                        place.new_tensor(-2.))
    found = F.grid_sample(
        volume, place[:, None, None], align_corners=False)[:, :, 0, 0]
    batch, cameras = geometry.cam2img.shape[:2]
    found = found.unflatten(0, (batch, cameras)).sum(1)
    nz, ny, nx = transform.grid.shape
    found = found.unflatten(-1, (nz, ny, nx)).transpose(1, 2)
    return found.flatten(1, 2)


@pytest.mark.parametrize('mode', ['UD', 'LID'])
@pytest.mark.parametrize('pooling', ['fused', 'index_add'])
def test_sampling_is_that_of_grid_sample(geometry, pooling, mode):
    transform = lift(
        SamplingViewTransform,
        pooling=pooling,
        ignore_bin=True,
        voxel_size=[1., 1., 1.5],
        depth=dict(BINS, mode=mode))
    weight = torch.randn(2, 12, 16, 20)
    found = {}
    for name in ('fast', 'slow'):
        x = features().requires_grad_()
        transform.zero_grad()
        bev = transform.float()(x, geometry)[0] if name == 'fast' else \
            volume_by_grid_sample(transform, x, geometry)
        (bev * weight).sum().backward()
        found[name] = (bev.detach(), x.grad,
                       transform.depth_net.weight.grad.clone())
    assert (found['fast'][0] != 0).float().mean() > .2
    for fast, slow in zip(found['fast'], found['slow']):
        assert (fast - slow).abs().max() < 1e-5 * max(1, slow.abs().max())


def kitti():
    """A calibration of KITTI's size: 375 x 1242, the camera 0.27 m ahead."""
    cam2img = np.array([[721.54, 0, 609.56, 44.86], [0, 721.54, 172.85, .216],
                        [0, 0, 1, .0027], [0, 0, 0, 1]])
    lidar2cam = np.array([[0., -1, 0, 0], [0, 0, -1, -.08], [1, 0, 0, -.27],
                          [0, 0, 0, 1]])
    return CameraGeometry.from_metas(
        [dict(cam2img=cam2img[None], lidar2cam=lidar2cam[None])], (375, 1242))


def test_lit_bin_of_kitti():
    # Bin 60, 13.293 to 13.669 m before the camera, is seen at 13.68 m.
    transform = SamplingViewTransform(
        1, 1, [2, -30.08, -3, 46.8, 30.08, 1], [.32, .32, .4],
        dict(low=2., high=46.8, num=120, mode='LID'))
    index = transform.make_index(kitti(), (47, 156))
    lit = torch.zeros(1, 120, 47, 156)
    lit[:, 60] = 1
    ones = torch.ones(1, 1, 47, 156)
    bev = lift_pool(lit, ones, index).view(10, 188, 140)
    assert bev.sum((0, 1)).argmax() == 36
    # A frustum of ones gives what interpolates to one, and nothing where
    # nothing is seen.
    full = lift_pool(torch.ones(1, 120, 47, 156), ones, index)
    full = full.view(10, 188, 140)
    assert full.max() <= 1 + 1e-5
    unseen = (full.amax(0) == 0).float().mean()
    assert .3 < unseen < .4


def test_nearer_than_the_first_bin(geometry):
    # Square roots of negative numbers stay out of values and gradients.
    transform = lift(
        SamplingViewTransform, depth=dict(low=6., high=12., num=4, mode='LID'))
    bev, _ = transform(features(), geometry)
    bev.sum().backward()
    assert bev.isfinite().all()
    assert transform.depth_net.weight.grad.isfinite().all()


def test_given_depth(geometry):
    # With the predicted distribution given, nothing changes.
    transform, feat = lift(), features()
    bev, logits = transform(feat, geometry)
    again, _ = transform(feat, geometry, logits.softmax(1))
    assert again.equal(bev)
    other, _ = transform(feat, geometry,
                         transform.bins.one_hot(torch.full((6, *SIZE), 4.)))
    assert not other.equal(bev)


@pytest.mark.parametrize('cls', [LSSViewTransform, SamplingViewTransform])
def test_index_is_kept_while_nothing_moves(ring, cls, monkeypatch):
    transform, feat = lift(cls, reuse_index=True), features()
    calls = []
    make = cls.make_index
    monkeypatch.setattr(cls, 'make_index',
                        lambda *args: calls.append(1) or make(*args))
    first, _ = transform(feat, ring())
    again, _ = transform(feat, ring())
    assert len(calls) == 1 and again.equal(first)
    moved, _ = transform(feat, ring(seed=1))
    assert len(calls) == 2
    plain = lift(cls)
    assert moved.equal(plain(feat, ring(seed=1))[0])
    assert not set(transform.state_dict()) - set(plain.state_dict())


def test_wrong_number_of_maps(geometry):
    with pytest.raises(ConfigError, match='2 samples of 3 cameras'):
        lift()(features(5), geometry)


def test_mixed_precision(geometry):
    transform, feat = lift(), features()
    with torch.autocast('cpu', torch.bfloat16):
        bev, _ = transform(feat, geometry)
    assert bev.dtype == torch.float32
    exact, _ = transform(feat, geometry)
    assert (bev - exact).abs().max() < .05 * exact.abs().max()
    assert math.isfinite(bev.sum().item())
