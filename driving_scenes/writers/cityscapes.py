"""The layout of Cityscapes."""
import os.path as osp
from typing import Any, Dict, List

import numpy as np

from ..labels import LABELS, train_id_table
from ..world import Frame
from .files import write_json, write_png


class CityscapesWriter:
    """Write frames as ``leftImg8bit``, ``gtFine`` and ``camera``.

    As in the official data set: label ids, train ids, and 16-bit instance
    ids, which are ``id * 1000 + k`` for the k-th object of a class with
    instances, and the label id for all other pixels.

    Args:
        root (str): Folder of the data set.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._train_ids = train_id_table()
        self._has_instances = np.zeros(256, bool)
        self._has_instances[[x.id for x in LABELS if x.has_instances]] = True

    def path(self, frame: Frame, kind: str, ending: str) -> str:
        """Path of one of a frame's files."""
        return osp.join(self.root, kind, frame.split, frame.city,
                        f'{frame.name}_{ending}')

    def instance_ids(self, frame: Frame) -> np.ndarray:
        """Instance ids of a frame, uint16, (H, W)."""
        ids = frame.label.astype(np.uint16)
        single = self._has_instances[frame.label] & (frame.instance > 0)
        keys = frame.label.astype(np.int64) << 32 | frame.instance
        count: Dict[int, int] = {}
        for key in np.unique(keys[single]):
            label = int(key >> 32)
            k = count.get(label, 0)
            count[label] = k + 1
            ids[single & (keys == key)] = label * 1000 + k
        return ids

    def write(self, frame: Frame) -> None:
        """Write the files of a frame."""
        write_png(
            self.path(frame, 'leftImg8bit', 'leftImg8bit.png'), frame.image)
        for name, picture in (('labelIds', frame.label),
                              ('labelTrainIds', self._train_ids[frame.label]),
                              ('instanceIds', self.instance_ids(frame))):
            write_png(
                self.path(frame, 'gtFine', f'gtFine_{name}.png'), picture)
        write_json(self.path(frame, 'camera', 'camera.json'), frame.camera)

    def record(self, frame: Frame) -> Any:
        """The record of a frame: empty, since :meth:`finish` needs nothing."""

    def finish(self, split: str, records: List[Any]) -> None:
        """Do nothing: the format has no index."""
