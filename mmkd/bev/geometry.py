"""Projection between camera pixels and the LiDAR frame."""
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from mmkd.errors import ConfigError
from mmkd.utils.devices import send


def _on_homogeneous(img_aug: Tensor) -> Tensor:
    """An image augmentation of (u, v, d, 1) as one of (u*d, v*d, d, 1)."""
    matrix = img_aug.clone()
    matrix[..., :2, 2] += img_aug[..., :2, 3]
    matrix[..., :2, 3] = 0
    return matrix


def _apply(matrix: Tensor, vectors: Tensor) -> Tensor:
    """Matrices (..., 4, 4) times vectors (..., P, 4), in full precision."""
    with torch.autocast(vectors.device.type, enabled=False):
        return vectors @ matrix.transpose(-1, -2)


@dataclass(frozen=True)
class CameraGeometry:
    """The cameras of a batch, including the augmentations.

    The matrices stay on the host, which inverts them without a wait for the
    device; only their products are copied to it.

    Frames: the *network pixel* (u', v') counts columns and rows of the
    network's input image, with (0, 0) at the centre of the first pixel; the
    camera frame is x right, y down, z forward; the LiDAR frame is x front, y
    left, z up, after the bird's-eye-view augmentation. Lengths are in metres.
    A depth d is the third coordinate of ``cam2img @ X``, which equals z in
    the camera frame up to a few millimetres in KITTI.

    Args:
        cam2img (Tensor): Intrinsics K, (B, N, 4, 4) in float64: N cameras,
            padded with the identity.
        lidar2cam (Tensor): From the LiDAR frame before augmentation to each
            camera's, (B, N, 4, 4).
        img_aug (Tensor): Image augmentation A, (B, N, 4, 4): takes (u, v, d,
            1) of the original image to that of the network's.
        lidar_aug (Tensor): Bird's-eye-view augmentation M of points and
            boxes, (B, 4, 4).
        image_size (tuple[int, int]): Height and width of the network's
            images, padding included.
        device (torch.device): Device of the images. Defaults to the CPU.
    """
    cam2img: Tensor
    lidar2cam: Tensor
    img_aug: Tensor
    lidar_aug: Tensor
    image_size: Tuple[int, int]
    device: torch.device = torch.device('cpu')

    @classmethod
    def from_metas(cls,
                   metas: Sequence[dict],
                   image_size: Tuple[int, int],
                   device: Optional[torch.device] = None) -> 'CameraGeometry':
        """Build it from the meta information of a batch.

        Args:
            metas (Sequence[dict]): One per sample, with ``cam2img`` and
                ``lidar2cam``, (N, 4, 4) each, and optionally
                ``img_aug_matrix``, (N, 4, 4), and ``lidar_aug_matrix``,
                (4, 4), which default to the identity.
            image_size (tuple[int, int]): Height and width of the network's
                images.
            device (torch.device, optional): Device of the images. Defaults
                to None: the CPU.

        Raises:
            ConfigError: If a matrix is missing or has the wrong shape.
        """
        stacks = []
        for key in ('cam2img', 'lidar2cam', 'img_aug_matrix',
                    'lidar_aug_matrix'):
            rows: List[np.ndarray] = []
            for meta in metas:
                if key not in meta and key.endswith('_aug_matrix'):
                    cameras = len(meta['cam2img'])
                    shape = (4, 4) if key.startswith('lidar') else (cameras, 4,
                                                                    4)
                    rows.append(np.broadcast_to(np.eye(4), shape))
                    continue
                value = np.asarray(meta.get(key, np.nan), np.float64)
                wanted = 2 if key == 'lidar_aug_matrix' else 3
                if value.ndim != wanted or value.shape[-2:] != (4, 4):
                    raise ConfigError(
                        f'the meta information of a sample has no {key!r} of '
                        'shape (cameras, 4, 4); load the images with '
                        "'mmkd.LoadMultiViewImages' and pack them with "
                        "'mmkd.PackBEVInputs'")
                rows.append(value)
            if len({row.shape for row in rows}) != 1:
                raise ConfigError('the samples of a batch have different '
                                  'numbers of cameras; name those to load in '
                                  "'mmkd.LoadMultiViewImages'")
            stacks.append(np.stack(rows))
        return cls(
            *map(torch.from_numpy, stacks),
            image_size=tuple(image_size),
            device=device or torch.device('cpu'))

    @property
    def num_cameras(self) -> int:
        """Number of cameras per sample."""
        return self.cam2img.size(1)

    @cached_property
    def lidar2pixel(self) -> Tensor:
        """Matrices from (x, y, z, 1) to (u'*d, v'*d, d, 1), (B, N, 4, 4)."""
        return _on_homogeneous(
            self.img_aug) @ self.cam2img @ self.lidar2cam @ torch.linalg.inv(
                self.lidar_aug)[:, None]

    @cached_property
    def pixel2lidar(self) -> Tensor:
        """Matrices from (u'*d, v'*d, d, 1) to (x, y, z, 1), (B, N, 4, 4)."""
        # Inverted one by one, since their product is ill-conditioned.
        inverse = torch.linalg.inv
        return self.lidar_aug[:, None] @ inverse(self.lidar2cam) @ inverse(
            self.cam2img) @ inverse(_on_homogeneous(self.img_aug))

    @cached_property
    def _sent(self) -> Dict[tuple, Tensor]:
        """Copies of the products."""
        return {}

    def _product(self, name: str, like: Tensor) -> Tensor:
        """A product with the type and on the device of another tensor."""
        key = name, like.dtype, like.device
        if key not in self._sent:
            self._sent[key] = send(
                getattr(self, name).to(like.dtype), like.device)
        return self._sent[key]

    def project(self, points: Tensor, sample: Optional[int] = None) -> Tensor:
        """Project points into each camera.

        Args:
            points (Tensor): (B, P, 3), or (P, 3) for the same points in each
                sample; x, y, z in the augmented LiDAR frame, metres.
            sample (int, optional): The only sample to project them for; B is
                then 1. Defaults to None.

        Returns:
            Tensor: (B, N, P, 3): u', v' in pixels of the network's image,
            unbounded, and d in metres. Points without d > 0 are behind the
            camera; their pixels are meaningless.
        """
        matrices = self._product('lidar2pixel', points)
        if sample is not None:
            matrices = matrices[sample:sample + 1]
        points = points.expand(len(matrices), *points.shape[-2:])
        points = torch.cat([points, torch.ones_like(points[..., :1])], -1)
        u, v, d, _ = _apply(matrices, points[:, None]).unbind(-1)
        in_front = d > 0
        safe = torch.where(in_front, d, torch.ones_like(d))
        return torch.stack([u / safe, v / safe, d], -1)

    def unproject(self, pixels: Tensor) -> Tensor:
        """Transform pixels with depths into the LiDAR frame.

        Args:
            pixels (Tensor): (P, 3), the same for each camera, or (B, N, P,
                3): u', v' in pixels of the network's image, d in metres.

        Returns:
            Tensor: (B, N, P, 3), x, y, z in the augmented LiDAR frame,
            metres.
        """
        u, v, d = pixels.unbind(-1)
        vectors = torch.stack([u * d, v * d, d, torch.ones_like(d)], -1)
        return _apply(self._product('pixel2lidar', pixels), vectors)[..., :3]

    def same_as(self, other: Optional['CameraGeometry']) -> bool:
        """Whether another batch has exactly the same matrices."""
        return other is not None and self.image_size == other.image_size and \
            all(torch.equal(mine, theirs) for mine, theirs in (
                (self.lidar2cam, other.lidar2cam),
                (self.cam2img, other.cam2img),
                (self.img_aug, other.img_aug),
                (self.lidar_aug, other.lidar_aug)))
