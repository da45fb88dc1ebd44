"""A few images in the format of Cityscapes."""
import os
import os.path as osp
from typing import Tuple

import numpy as np


def write_cityscapes(root: str,
                     num_train: int = 8,
                     num_val: int = 2,
                     size: Tuple[int, int] = (32, 64),
                     seed: int = 0) -> str:
    """Write images with learnable classes, each with its own colour.

    An image consists of a few rectangles of road, building, vegetation, sky
    and car with noise. mmseg's ``CityscapesDataset`` can read it.

    Args:
        root (str): Folder to write into.
        num_train (int): Training images. Defaults to 8.
        num_val (int): Validation images. Defaults to 2.
        size (tuple[int, int]): Height and width in pixels. Defaults to
            (32, 64).
        seed (int): Of the random numbers. Defaults to 0.

    Returns:
        str: ``root``.
    """
    import cv2
    random = np.random.RandomState(seed)
    # Train id of a class -> its colour in BGR, as in OpenCV.
    colours = {
        0: (128, 64, 128),
        2: (60, 70, 90),
        8: (35, 142, 107),
        10: (200, 160, 70),
        13: (30, 30, 220),
    }
    height, width = size
    for split, count in dict(train=num_train, val=num_val).items():
        folders = {
            kind: osp.join(root, kind, split, 'tinytown')
            for kind in ('leftImg8bit', 'gtFine')
        }
        for folder in folders.values():
            os.makedirs(folder, exist_ok=True)
        for i in range(count):
            labels = np.zeros(size, np.uint8)
            labels[:height // 2] = 10
            for kind in (2, 8, 13, 13):
                top = random.randint(0, height * 2 // 3)
                left = random.randint(0, width * 3 // 4)
                labels[top:top + height // 3, left:left + width // 4] = kind
            image = np.zeros((*size, 3), np.float32)
            for kind, colour in colours.items():
                image[labels == kind] = colour
            image += random.normal(0, 12, image.shape)
            labels[-1] = 255
            name = f'tinytown_{i:06d}_000019'
            cv2.imwrite(
                osp.join(folders['leftImg8bit'], f'{name}_leftImg8bit.png'),
                image.clip(0, 255).astype(np.uint8))
            cv2.imwrite(
                osp.join(folders['gtFine'],
                         f'{name}_gtFine_labelTrainIds.png'), labels)
    return root
