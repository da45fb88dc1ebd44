"""Placing complete objects in the frames of their scene."""
import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Dict, Iterator, List, Optional, Tuple

import numpy as np

from mmkd.errors import ConfigError
from mmkd.methods.xray.data.boxes import points_in_box
from mmkd.methods.xray.data.completion import CompleteObjects, PlacedPoints

MODES = ('add', 'replace')
SIZE_MODES = ('centre', 'scale')
#: The placement of the published tool.
PUBLISHED_PLACEMENT = dict(
    mode='replace', keep_margin=None, min_visible_points=0)


@dataclass(frozen=True)
class Placement:
    """Options for placing the objects of a scene in its frames.

    Args:
        mode (str): ``'add'`` keeps the frame's own points; ``'replace'``
            removes those in the box and inserts all stored ones, including
            the frame's own view. Defaults to ``'add'``.
        keep_margin (float, optional): Points further outside their box are
            dropped, metres; None keeps all. Defaults to 0.1.
        min_visible_points (int): Objects with fewer points in the frame are
            not completed. Defaults to 1: hidden objects are not inserted.
        window (int, optional): Use only views from this many frames before
            and after. Defaults to None: the whole scene.
        class_window (dict[str, int]): The same by class. Defaults to {}.
        size_mode (str): See :meth:`CompleteObjects.place`. Defaults to
            ``'centre'``.

    Raises:
        ConfigError: If a value is invalid.
    """
    mode: str = 'add'
    keep_margin: Optional[float] = 0.1
    min_visible_points: int = 1
    window: Optional[int] = None
    class_window: Dict[str, int] = field(default_factory=dict)
    size_mode: str = 'centre'

    def __post_init__(self) -> None:
        for name, known in (('mode', MODES), ('size_mode', SIZE_MODES)):
            if getattr(self, name) not in known:
                raise ConfigError(f'{name} of complete objects is one of '
                                  f'{", ".join(known)}, not '
                                  f'{getattr(self, name)!r}')

    def placed(self, objects: CompleteObjects, instances: List[dict],
               frame: int) -> Iterator[Tuple[np.ndarray, PlacedPoints]]:
        """The completed objects of a frame, in the order of ids.

        Args:
            objects (CompleteObjects): Objects of the scene.
            instances (list[dict]): Instances of the frame in the index file.
            frame (int): Number of the frame in the scene.

        Yields:
            tuple[np.ndarray, PlacedPoints]: Box (10, ) and points to add,
            both in the LiDAR frame.
        """
        chosen = [
            x for x in instances if x['complete_index'] >= 0
            and x['num_own_pts'] >= self.min_visible_points
        ]
        for instance in sorted(chosen, key=lambda x: x['instance_id']):
            index, box = instance['complete_index'], np.array(
                instance['box_lidar'])
            yield box, objects.place(
                index,
                frame,
                box,
                self.keep_margin,
                own=self.mode == 'replace',
                window=self.class_window.get(
                    str(objects.name[index]), self.window),
                size_mode=self.size_mode)

    def key(self) -> str:
        """Key that identifies this placement."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha1(text.encode()).hexdigest()[:16]


def complete_cloud(points: np.ndarray, objects: CompleteObjects,
                   instances: List[dict], frame: int,
                   placement: Placement) -> np.ndarray:
    """Complete the objects of a frame.

    Args:
        points (np.ndarray): (N, D), as in its file.
        objects (CompleteObjects): Objects of the scene.
        instances (list[dict]): Instances of the frame in the index file.
        frame (int): Number of the frame in the scene.
        placement (Placement): Options for placing objects.

    Returns:
        np.ndarray: (M, D), float32: the frame's own points in their order,
        without replaced ones, and the added points.
    """
    kept = np.ones(len(points), bool)
    added = []
    for box, more in placement.placed(objects, instances, frame):
        added.append(more.points)
        if placement.mode == 'replace':
            kept[points_in_box(points, box)] = False
    return np.concatenate([points[kept], *added]).astype(np.float32)
