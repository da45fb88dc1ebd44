"""The format of COCO's instance annotations."""
import os.path as osp
from typing import Any, Dict, List

import numpy as np
from pycocotools import mask as mask_utils
from scipy import ndimage

from ..labels import LABEL_IDS, THINGS
from ..world import Frame
from .files import write_json

#: Minimum number of visible pixels of a target. A smaller object, merged with
#: objects of its class that it touches, is marked as a crowd, in which
#: detections are ignored.
CROWD_AREA = 64


class CocoWriter:
    """Write ``annotations/instances_<split>.json``.

    The images are those of the Cityscapes layout: ``file_name`` is
    relative to ``leftImg8bit/``. Boxes are ``(x, y, w, h)`` in pixels around
    the visible mask, masks run-length encoded, areas in pixels.

    Args:
        root (str): Folder of the data set.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def record(self, frame: Frame) -> Dict[str, Any]:
        """Image entry and annotations of a frame, without ids."""
        height, width = frame.label.shape
        annotations = []
        for category, name in enumerate(THINGS, 1):
            of_class = (frame.label == LABEL_IDS[name]) & (frame.instance > 0)
            tracks, areas = np.unique(
                frame.instance[of_class], return_counts=True)
            for track in tracks[areas >= CROWD_AREA].tolist():
                mask = of_class & (frame.instance == track)
                annotations.append(_annotation(mask, category, track, False))
            crowd = of_class & np.isin(frame.instance,
                                       tracks[areas < CROWD_AREA])
            groups, count = ndimage.label(crowd, np.ones((3, 3)))
            for group in range(1, count + 1):
                annotations.append(
                    _annotation(groups == group, category, 0, True))
        return dict(
            image=dict(
                file_name=f'{frame.split}/{frame.city}/{frame.name}'
                '_leftImg8bit.png',
                height=height,
                width=width),
            annotations=annotations)

    def write(self, frame: Frame) -> None:
        """Do nothing: the Cityscapes writer writes the images."""

    def finish(self, split: str, records: List[Dict[str, Any]]) -> None:
        """Number the records of a split and write its index."""
        images, annotations = [], []
        for record in records:
            image = dict(record['image'], id=len(images) + 1)
            images.append(image)
            for annotation in record['annotations']:
                annotations.append(
                    dict(
                        annotation,
                        id=len(annotations) + 1,
                        image_id=image['id']))
        write_json(
            osp.join(self.root, 'annotations', f'instances_{split}.json'),
            dict(
                info=dict(description='mmkd driving scenes'),
                licenses=[],
                categories=[
                    dict(id=i, name=name) for i, name in enumerate(THINGS, 1)
                ],
                images=images,
                annotations=annotations))


def _annotation(mask: np.ndarray, category: int, track: int,
                crowd: bool) -> Dict[str, Any]:
    code = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    rows, columns = np.nonzero(mask)
    x, y = int(columns.min()), int(rows.min())
    return dict(
        category_id=category,
        bbox=[x, y, int(columns.max()) + 1 - x,
              int(rows.max()) + 1 - y],
        area=int(mask.sum()),
        segmentation=dict(
            size=list(mask.shape), counts=code['counts'].decode('ascii')),
        iscrowd=int(crowd),
        track_id=track)
