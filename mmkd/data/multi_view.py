"""Transforms for several cameras, and augmentation of all sensors."""
from typing import List, Optional, Sequence, Tuple

import cv2
import mmcv
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.datasets.transforms import (LoadMultiViewImageFromFiles,
                                         Pack3DDetInputs)

from mmkd.errors import ConfigError
from mmkd.registry import TRANSFORMS

#: Meta information that :class:`mmkd.bev.CameraGeometry` reads.
MATRICES = ('cam2img', 'lidar2cam', 'img_aug_matrix', 'lidar_aug_matrix')


def _padded(matrix: Sequence[Sequence[float]]) -> np.ndarray:
    """Pad a matrix to 4 x 4 with the identity, float64."""
    matrix = np.asarray(matrix, np.float64)
    padded = np.eye(4)
    padded[:matrix.shape[0], :matrix.shape[1]] = matrix
    return padded


@TRANSFORMS.register_module()
class LoadMultiViewImages(LoadMultiViewImageFromFiles):
    """Load the images of several cameras, or of one, with their matrices.

    It extends mmdet3d's transform by a choice of cameras and matrices of equal
    shape. It needs no LiDAR files if the data set has
    ``modality=dict(use_camera=True, use_lidar=False)``.

    Required keys: ``images``, as in mmdet3d's data sets. Added keys, besides
    those of mmdet3d's transform: ``cam2img``, ``lidar2cam`` and
    ``img_aug_matrix``, each (N, 4, 4) in float64.

    Args:
        cameras (Sequence[str], optional): Names of the cameras in order, such
            as ``['CAM_FRONT']``, or ``['CAM2']`` for KITTI. Defaults to None:
            all cameras that have a file.
        **kwargs: Arguments of mmdet3d's transform: ``to_float32``,
            ``color_type``, ``backend_args``.

    Raises:
        ConfigError: If a sample lacks a camera.
    """

    def __init__(self,
                 cameras: Optional[Sequence[str]] = None,
                 **kwargs) -> None:
        kwargs.setdefault('color_type', 'color')
        super().__init__(num_views=len(cameras or ()), **kwargs)
        self.cameras = None if cameras is None else list(cameras)

    def transform(self, results: dict) -> dict:
        """Load the images."""
        images = results['images']
        names = self.cameras or [
            name for name, camera in images.items() if 'img_path' in camera
        ]
        missing = [name for name in names if name not in images]
        if missing or not names:
            raise ConfigError(
                f'a sample has no camera {missing[0] if missing else ""!r}; '
                f'it has {", ".join(images) or "none"}')
        results['images'] = {name: images[name] for name in names}
        results = super().transform(results)
        for key in ('cam2img', 'lidar2cam'):
            results[key] = np.stack([_padded(x) for x in results[key]])
        results['num_views'] = len(names)
        results['img_aug_matrix'] = np.tile(np.eye(4), (len(names), 1, 1))
        return results


@TRANSFORMS.register_module()
class ImageAug3D(BaseTransform):
    """Resize, crop, flip and rotate each camera's image; record the matrix.

    The matrix A = rotation * flip * crop * resize maps (u, v) of the input
    image to (u, v) of the result, where (0, 0) is the centre of the first
    pixel: resizing by r is ``r * u + (r - 1) / 2``, the flip ``W - 1 - u``,
    and the rotation is about the centre of the image. Pixels from outside the
    image are 0. No 3D quantity changes, including ``cam2img``.

    Required keys: ``img``, a list of images (H, W, 3); ``img_aug_matrix``
    (N, 4, 4), which is multiplied by A. Modified keys: both, and
    ``img_shape`` and ``pad_shape``.

    Args:
        size (tuple[int, int]): Height and width of the result in pixels.
        resize (tuple[float, float]): Range of the scale factor, relative to
            the scale at which the image just covers ``size``. Defaults to
            (1., 1.).
        flip_ratio (float): Probability of a flip. Defaults to 0.
        rotation (float): Maximum angle to either side, degrees. Defaults to
            0.
        random_crop (bool): Whether the horizontal position of the crop is
            random instead of central; the crop is always at the bottom.
            Defaults to False.
    """

    def __init__(self,
                 size: Tuple[int, int],
                 resize: Tuple[float, float] = (1., 1.),
                 flip_ratio: float = 0.,
                 rotation: float = 0.,
                 random_crop: bool = False) -> None:
        if not 0 < resize[0] <= resize[1] or not 0 <= flip_ratio <= 1:
            raise ConfigError('ImageAug3D: resize is a range of positive '
                              'factors and flip_ratio a probability, not '
                              f'{resize} and {flip_ratio}')
        self.size = tuple(size)
        self.resize, self.flip_ratio = tuple(resize), flip_ratio
        self.rotation, self.random_crop = rotation, random_crop

    def transform(self, results: dict) -> dict:
        """Augment the images, each with its own random parameters."""
        images: List[np.ndarray] = []
        matrices = []
        for image in results['img']:
            image, matrix = self._augment(image)
            images.append(image)
            matrices.append(matrix)
        results['img'] = images
        results['img_aug_matrix'] = np.stack(
            matrices) @ results['img_aug_matrix']
        results['img_shape'] = results['pad_shape'] = self.size
        return results

    def _augment(self, image: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        rows, columns = self.size
        factor = max(rows / height, columns / width)
        factor *= np.random.uniform(*self.resize)
        new_width = max(1, round(width * factor))
        new_height = max(1, round(height * factor))
        if (new_height, new_width) != (height, width):
            smaller = factor < 1
            image = mmcv.imresize(
                image, (new_width, new_height),
                interpolation='area' if smaller else 'bilinear')
        matrix = np.eye(4)
        for axis, ratio in enumerate((new_width / width, new_height / height)):
            matrix[axis, axis] = ratio
            matrix[axis, 3] = (ratio - 1) / 2
        spare = new_width - columns
        left = spare // 2
        if self.random_crop and spare > 0:
            left = np.random.randint(spare + 1)
        top = new_height - rows
        image = mmcv.imcrop(
            image,
            np.array([left, top, left + columns - 1, top + rows - 1]),
            pad_fill=0) if left < 0 or top < 0 else image[top:top + rows,
                                                          left:left + columns]
        matrix[:2, 3] -= (left, top)
        if np.random.rand() < self.flip_ratio:
            image = image[:, ::-1]
            flip = np.diag([-1., 1., 1., 1.])
            flip[0, 3] = columns - 1
            matrix = flip @ matrix
        if self.rotation:
            angle = np.radians(
                np.random.uniform(-self.rotation, self.rotation))
            turn = np.eye(4)
            cos, sin = np.cos(angle), np.sin(angle)
            turn[:2, :2] = [[cos, sin], [-sin, cos]]
            middle = np.array([columns - 1, rows - 1]) / 2
            turn[:2, 3] = middle - turn[:2, :2] @ middle
            image = cv2.warpAffine(
                np.ascontiguousarray(image), turn[:2, [0, 1, 3]],
                (columns, rows))
            matrix = turn @ matrix
        return np.ascontiguousarray(image), matrix


@TRANSFORMS.register_module()
class BEVAug3D(BaseTransform):
    """Rotate, scale, translate and flip the scene for all sensors.

    The matrix M = flip * translation * scaling * rotation is applied to
    boxes and points, if there are any, and recorded for the images:
    :class:`mmkd.bev.CameraGeometry` moves their features accordingly.
    mmdet3d's ``GlobalRotScaleTrans`` and ``RandomFlip3D`` do not record it
    and need points.

    Modified keys: ``gt_bboxes_3d`` and ``points``, if present; and
    ``lidar_aug_matrix`` (4, 4), which is multiplied by M.

    Args:
        rotation (tuple[float, float]): Range of the angle about z, radians.
            Defaults to (-0.785, 0.785).
        scale (tuple[float, float]): Range of the factor. Defaults to (0.9,
            1.1).
        translation_std (float | Sequence[float]): Standard deviation of the
            shift, for all axes or for each, metres. Defaults to 0.
        flip_x (float): Probability of negating x. Defaults to 0.5.
        flip_y (float): Probability of negating y. Defaults to 0.5.
    """

    def __init__(self,
                 rotation: Tuple[float, float] = (-.785, .785),
                 scale: Tuple[float, float] = (.9, 1.1),
                 translation_std: Sequence[float] = 0.,
                 flip_x: float = .5,
                 flip_y: float = .5) -> None:
        if not 0 < scale[0] <= scale[1]:
            raise ConfigError('BEVAug3D: scale is a range of positive '
                              f'factors, not {scale}')
        self.rotation, self.scale = tuple(rotation), tuple(scale)
        self.translation_std = np.broadcast_to(
            np.asarray(translation_std, np.float64), (3, ))
        self.flip_x, self.flip_y = flip_x, flip_y

    def transform(self, results: dict) -> dict:
        """Draw M and apply it."""
        angle = np.random.uniform(*self.rotation)
        scale = np.random.uniform(*self.scale)
        shift = np.random.normal(0, self.translation_std)
        flips = [
            direction for direction, ratio in (('vertical', self.flip_x),
                                               ('horizontal', self.flip_y))
            if np.random.rand() < ratio
        ]
        matrix = np.eye(4)
        cos, sin = np.cos(angle), np.sin(angle)
        matrix[:2, :2] = [[cos, -sin], [sin, cos]]
        matrix[:3] *= scale
        matrix[:3, 3] = shift
        for direction in flips:
            matrix[0 if direction == 'vertical' else 1] *= -1
        boxes = results.get('gt_bboxes_3d')
        if boxes is not None and len(boxes):
            boxes.rotate(angle)
            boxes.scale(scale)
            boxes.translate(shift)
            for direction in flips:
                boxes.flip(direction)
        points = results.get('points')
        if points is not None:
            moved = points.tensor[:, :3].double() @ torch.from_numpy(
                matrix[:3, :3].T) + torch.from_numpy(matrix[:3, 3])
            points.tensor[:, :3] = moved.to(points.tensor)
        results['lidar_aug_matrix'] = matrix @ results.get(
            'lidar_aug_matrix', np.eye(4))
        return results


@TRANSFORMS.register_module()
class PackBEVInputs(Pack3DDetInputs):
    """mmdet3d's packing, with the matrices in the meta information.

    Args:
        keys (Sequence[str]): Keys to pack: ``img``, ``points``,
            ``gt_bboxes_3d``, ``gt_labels_3d``.
        meta_keys (Sequence[str]): Keys of meta information in addition to
            mmdet3d's and the matrices. Defaults to ().
    """

    def __init__(self, keys: Sequence[str],
                 meta_keys: Sequence[str] = ()) -> None:
        super().__init__(keys)
        self.meta_keys = tuple(
            dict.fromkeys((*self.meta_keys, *MATRICES, *meta_keys)))
