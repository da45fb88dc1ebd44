"""Batches as a data loader yields them: lists of images and samples."""
from typing import Optional, Sequence, Tuple

import torch
from mmengine.structures import InstanceData, PixelData

Sizes = Optional[Sequence[Tuple[int, int]]]


def _image(size: Tuple[int, int], generator: torch.Generator):
    return torch.randint(
        0, 256, (3, *size), generator=generator, dtype=torch.uint8)


def segmentation_batch(num_images: int = 2,
                       size: Tuple[int, int] = (32, 64),
                       num_classes: int = 19,
                       seed: int = 0,
                       sizes: Sizes = None) -> dict:
    """A raw batch of mmseg with random pixels and blocks of labels.

    Args:
        num_images (int): Number of images. Defaults to 2.
        size (tuple[int, int]): Height and width in pixels. Defaults to
            (32, 64).
        num_classes (int): Labels are below it; some pixels are ignored
            (255). Defaults to 19.
        seed (int): Of the random numbers. Defaults to 0.
        sizes (list[tuple[int, int]], optional): Size of each image, instead
            of ``num_images`` and ``size``. Defaults to None.

    Returns:
        dict: ``inputs``, a list of uint8 images (3, H, W), and
        ``data_samples``, a list of ``SegDataSample``.
    """
    from mmseg.structures import SegDataSample
    generator = torch.Generator().manual_seed(seed)
    inputs, samples = [], []
    for height, width in sizes or [size] * num_images:
        inputs.append(_image((height, width), generator))
        blocks = torch.randint(
            0,
            num_classes, (-(-height // 8), -(-width // 8)),
            generator=generator)
        labels = blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)
        labels = labels[:height, :width].clone()
        labels[:2] = 255
        samples.append(
            SegDataSample(
                metainfo=dict(
                    img_shape=(height, width), ori_shape=(height, width)),
                gt_sem_seg=PixelData(data=labels[None])))
    return dict(inputs=inputs, data_samples=samples)


def detection_batch(num_images: int = 2,
                    size: Tuple[int, int] = (64, 64),
                    num_classes: int = 3,
                    seed: int = 0,
                    boxes: int = 2) -> dict:
    """A raw batch of mmdet with random pixels and boxes.

    Args:
        num_images (int): Number of images. Defaults to 2.
        size (tuple[int, int]): Height and width in pixels. Defaults to
            (64, 64).
        num_classes (int): Labels are below it. Defaults to 3.
        seed (int): Of the random numbers. Defaults to 0.
        boxes (int): Boxes per image; 0 for images without objects. Defaults
            to 2.

    Returns:
        dict: ``inputs``, a list of uint8 images (3, H, W), and
        ``data_samples``, a list of ``DetDataSample``.
    """
    from mmdet.structures import DetDataSample
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([size[1], size[0]] * 2, dtype=torch.float32)
    inputs, samples = [], []
    for i in range(num_images):
        inputs.append(_image(size, generator))
        corner = torch.rand((boxes, 2), generator=generator) * 0.5
        side = 0.2 + torch.rand((boxes, 2), generator=generator) * 0.3
        instances = InstanceData(
            bboxes=torch.cat([corner, corner + side], 1) * scale,
            labels=torch.randint(
                0, num_classes, (boxes, ), generator=generator))
        ignored = InstanceData(
            bboxes=torch.zeros((0, 4)),
            labels=torch.zeros((0, ), dtype=torch.long))
        samples.append(
            DetDataSample(
                metainfo=dict(
                    img_id=i,
                    img_path='',
                    img_shape=size,
                    ori_shape=size,
                    scale_factor=(1.0, 1.0),
                    flip=False),
                gt_instances=instances,
                ignored_instances=ignored))
    return dict(inputs=inputs, data_samples=samples)
