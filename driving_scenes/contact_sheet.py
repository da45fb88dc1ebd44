"""An overview of a data set: images next to their labels."""
import glob
import os.path as osp

import cv2
import numpy as np

from .labels import color_table
from .presets import SPLITS
from .writers.files import write_png


def write_contact_sheet(root: str, rows: int = 8) -> str:
    """Write ``contact_sheet.png``: some images of each split with labels.

    Args:
        root (str): Folder of a data set.
        rows (int): Images of each split. Defaults to 8.

    Returns:
        str: Its path.
    """
    colours = color_table()
    columns = []
    for split in SPLITS:
        paths = sorted(
            glob.glob(
                osp.join(root, 'leftImg8bit', split, '*',
                         '*_leftImg8bit.png')))
        picks = [
            paths[i * len(paths) // min(rows, len(paths))]
            for i in range(min(rows, len(paths)))
        ]
        column = []
        for path in picks:
            image = cv2.imread(path)[..., ::-1]
            labels = cv2.imread(
                path.replace('leftImg8bit', 'gtFine',
                             1).replace('_leftImg8bit.png',
                                        '_gtFine_labelIds.png'),
                cv2.IMREAD_UNCHANGED)
            column.append(np.hstack([image, colours[labels]]))
        columns.append(column)
    height, width = next(c for c in columns if c)[0].shape[:2]
    sheet = np.full(
        ((height + 4) * max(map(len, columns)), (width + 8) * len(columns), 3),
        255, np.uint8)
    for x, column in enumerate(columns):
        for y, cell in enumerate(column):
            sheet[y * (height + 4):y * (height + 4) + height,
                  x * (width + 8):x * (width + 8) + width] = cell
    path = osp.join(root, 'contact_sheet.png')
    write_png(path, sheet)
    return path
