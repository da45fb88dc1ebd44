"""The transforms of several cameras, on made-up images and boxes."""
import mmcv
import numpy as np
import pytest
import torch
from mmdet3d.structures import LiDARInstance3DBoxes, LiDARPoints

from mmkd.data.multi_view import (BEVAug3D, ImageAug3D, LoadMultiViewImages,
                                  PackBEVInputs)
from mmkd.errors import ConfigError


def coordinates(height, width):
    """An image whose pixels say where they are: (u, v, 1), in float."""
    v, u = np.mgrid[:height, :width]
    return np.stack([u, v, np.ones_like(u)], -1).astype(np.float32)


@pytest.mark.parametrize('settings', [
    dict(),
    dict(resize=(1.2, 1.4), random_crop=True),
    dict(flip_ratio=1.),
    dict(rotation=8.),
    dict(resize=(.8, 1.3), random_crop=True, flip_ratio=.5, rotation=6.),
])
@pytest.mark.parametrize('shape', [(48, 80), (24, 52)])
def test_matrix_says_where_pixels_went(settings, shape):
    transform = ImageAug3D((32, 64), **settings)
    results = dict(
        img=[coordinates(*shape) for _ in range(3)],
        img_aug_matrix=np.tile(np.eye(4), (3, 1, 1)))
    results = transform.transform(results)
    assert results['img_shape'] == (32, 64)
    target = coordinates(32, 64)
    for image, matrix in zip(results['img'], results['img_aug_matrix']):
        assert image.shape == (32, 64, 3)
        u, v = target[..., 0], target[..., 1]
        pixels = np.stack([u, v, u * 0 + 7, u * 0 + 1], -1)
        back = pixels @ np.linalg.inv(matrix).T
        assert (back[..., 2] == 7).all()  # depth stays
        # Borders are mixed with what is outside.
        inside = (image[..., 2] > .999) & (back[..., 0] > 1) & (
            back[..., 0] < shape[1] - 2) & (back[..., 1] > 1) & (
                back[..., 1] < shape[0] - 2)
        assert inside.mean() > .4
        gap = np.abs(image[..., :2] - back[..., :2])[inside]
        # The mean over an area is that of its middle to a tenth of a pixel.
        assert gap.max() < .12


def test_images_are_covered_and_cut_at_the_top():
    results = ImageAug3D((32, 64)).transform(
        dict(img=[coordinates(64, 64)], img_aug_matrix=np.eye(4)[None]))
    assert results['img'][0][0, 0].tolist() == [0, 32, 1]
    assert results['img'][0][-1, -1].tolist() == [63, 63, 1]


def test_flip_is_exact():
    image = coordinates(32, 64)
    results = ImageAug3D((32, 64), flip_ratio=1.).transform(
        dict(img=[image], img_aug_matrix=np.eye(4)[None]))
    assert (results['img'][0] == image[:, ::-1]).all()
    assert results['img_aug_matrix'][0, 0].tolist() == [-1, 0, 0, 63]


def scene(with_points=True):
    boxes = LiDARInstance3DBoxes(
        torch.tensor([[3., 1., -1., 4., 2., 1.5, .3, 2., 1.],
                      [-5., 4., -1., 1., 1., 1.8, -2., 0., .5]]),
        box_dim=9)
    results = dict(gt_bboxes_3d=boxes)
    if with_points:
        results['points'] = LiDARPoints(
            torch.cat(
                [boxes.gravity_center, torch.ones(2, 2)], 1),
            points_dim=5)
    return results


@pytest.mark.parametrize('seed', range(4))
def test_one_matrix_for_boxes_points_and_images(seed):
    np.random.seed(seed)
    before, results = scene(), scene()
    for _ in range(2):  # a second one adds to the first
        results = BEVAug3D((-3, 3), (.8, 1.2), (.5, .5, .2)).transform(results)
    matrix = torch.from_numpy(results['lidar_aug_matrix']).float()

    def moved(points):
        return points @ matrix[:3, :3].T + matrix[:3, 3]

    old, new = before['gt_bboxes_3d'], results['gt_bboxes_3d']
    assert torch.allclose(
        results['points'].coord, moved(before['points'].coord), atol=1e-4)
    assert results['points'].tensor[:, 3:].eq(1).all()
    assert torch.allclose(
        new.gravity_center, moved(old.gravity_center), atol=1e-4)
    # A flip mirrors the order of the corners.
    corners = moved(old.corners)
    gap = torch.cdist(new.corners, corners).amin(2)
    assert gap.max() < 1e-4
    # The front stays the front.
    cos, sin = new.yaw.cos(), new.yaw.sin()
    front = torch.stack([old.yaw.cos(), old.yaw.sin(), old.yaw * 0], 1)
    front = front @ matrix[:3, :3].T
    front = front / front.norm(dim=1, keepdim=True)
    assert torch.allclose(front[:, :2], torch.stack([cos, sin], 1), atol=1e-4)
    assert torch.allclose(
        new.tensor[:, 7:], old.tensor[:, 7:] @ matrix[:2, :2].T, atol=1e-4)


def test_scene_without_points_or_boxes():
    results = BEVAug3D().transform(scene(with_points=False))
    assert 'points' not in results
    assert results['lidar_aug_matrix'].shape == (4, 4)
    assert list(BEVAug3D().transform({})) == ['lidar_aug_matrix']
    empty = dict(gt_bboxes_3d=scene()['gt_bboxes_3d'][[]])
    assert len(BEVAug3D().transform(empty)['gt_bboxes_3d']) == 0


@pytest.fixture
def sample(tmp_path):
    """What a data set of mmdet3d gives for three cameras."""
    images = {}
    for i, name in enumerate(('LEFT', 'FRONT', 'RIGHT')):
        path = str(tmp_path / f'{name}.png')
        mmcv.imwrite(np.full((8, 12, 3), i * 10, np.uint8), path)
        images[name] = dict(
            img_path=path,
            cam2img=(np.eye(3) * (i + 1)).tolist(),
            lidar2cam=np.eye(4).tolist())
    images['RIG'] = dict(height=8)  # no camera of its own, as in KITTI
    return dict(images=images)


def test_cameras_are_chosen(sample):
    images = dict(sample['images'])
    results = LoadMultiViewImages().transform(sample)
    assert [x[0, 0, 0] for x in results['img']] == [0, 10, 20]
    assert results['cam2img'].shape == (3, 4, 4)
    assert results['cam2img'][2, :3, :3].tolist() == (3 * np.eye(3)).tolist()
    assert (results['img_aug_matrix'] == np.eye(4)).all()
    results = LoadMultiViewImages(['FRONT']).transform(dict(images=images))
    assert len(results['img']) == 1 and results['img'][0][0, 0, 0] == 10
    assert results['cam2img'].shape == (1, 4, 4)
    with pytest.raises(ConfigError, match="no camera 'BACK'"):
        LoadMultiViewImages(['BACK']).transform(dict(images=images))


def test_matrices_are_packed(sample):
    results = LoadMultiViewImages().transform(sample)
    results = BEVAug3D().transform({**results, **scene(False)})
    results['gt_labels_3d'] = np.zeros(2, np.int64)
    results['token'] = 'abc'
    packed = PackBEVInputs(['img', 'gt_bboxes_3d', 'gt_labels_3d'],
                           ['token']).transform(results)
    meta = packed['data_samples'].metainfo
    for key in ('cam2img', 'lidar2cam', 'img_aug_matrix'):
        assert meta[key].shape == (3, 4, 4) and meta[key].dtype == np.float64
    assert meta['lidar_aug_matrix'].shape == (4, 4)
    assert meta['token'] == 'abc'
    assert packed['inputs']['img'].shape == (3, 3, 8, 12)
