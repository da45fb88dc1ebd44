"""Label tables: Cityscapes classes, their train ids, colours, and the classes
of other formats mapped onto them."""
from typing import Dict, NamedTuple, Tuple

import numpy as np


class Label(NamedTuple):
    """One Cityscapes label.

    Args:
        name (str): The official name.
        id (int): Label id, as in ``*_gtFine_labelIds.png``.
        train_id (int): Id used for training; 255 is ignored.
        color (tuple[int]): RGB, 0 to 255.
        has_instances (bool): Whether the label has instances.
    """
    name: str
    id: int
    train_id: int
    color: Tuple[int, int, int]
    has_instances: bool


LABELS = (
    Label('unlabeled', 0, 255, (0, 0, 0), False),
    Label('ego vehicle', 1, 255, (0, 0, 0), False),
    Label('rectification border', 2, 255, (0, 0, 0), False),
    Label('out of roi', 3, 255, (0, 0, 0), False),
    Label('static', 4, 255, (0, 0, 0), False),
    Label('dynamic', 5, 255, (111, 74, 0), False),
    Label('ground', 6, 255, (81, 0, 81), False),
    Label('road', 7, 0, (128, 64, 128), False),
    Label('sidewalk', 8, 1, (244, 35, 232), False),
    Label('parking', 9, 255, (250, 170, 160), False),
    Label('rail track', 10, 255, (230, 150, 140), False),
    Label('building', 11, 2, (70, 70, 70), False),
    Label('wall', 12, 3, (102, 102, 156), False),
    Label('fence', 13, 4, (190, 153, 153), False),
    Label('guard rail', 14, 255, (180, 165, 180), False),
    Label('bridge', 15, 255, (150, 100, 100), False),
    Label('tunnel', 16, 255, (150, 120, 90), False),
    Label('pole', 17, 5, (153, 153, 153), False),
    Label('polegroup', 18, 255, (153, 153, 153), False),
    Label('traffic light', 19, 6, (250, 170, 30), False),
    Label('traffic sign', 20, 7, (220, 220, 0), False),
    Label('vegetation', 21, 8, (107, 142, 35), False),
    Label('terrain', 22, 9, (152, 251, 152), False),
    Label('sky', 23, 10, (70, 130, 180), False),
    Label('person', 24, 11, (220, 20, 60), True),
    Label('rider', 25, 12, (255, 0, 0), True),
    Label('car', 26, 13, (0, 0, 142), True),
    Label('truck', 27, 14, (0, 0, 70), True),
    Label('bus', 28, 15, (0, 60, 100), True),
    Label('caravan', 29, 255, (0, 0, 90), True),
    Label('trailer', 30, 255, (0, 0, 110), True),
    Label('train', 31, 16, (0, 80, 100), True),
    Label('motorcycle', 32, 17, (0, 0, 230), True),
    Label('bicycle', 33, 18, (119, 11, 32), True),
)

LABEL_IDS: Dict[str, int] = {label.name: label.id for label in LABELS}

#: The 19 classes of the benchmark in the order of their train ids.
CLASSES = tuple(
    label.name for label in sorted(LABELS, key=lambda x: x.train_id)
    if label.train_id != 255)

#: The 8 classes with instance evaluation.
THINGS = tuple(label.name for label in LABELS
               if label.has_instances and label.train_id != 255)

#: Categories of the world (named as in nuScenes if it has them) and the
#: Cityscapes label of their geometry. Faces may differ: the person on a
#: bicycle is a ``rider``. Choices where Cityscapes has no class: cones
#: are ``dynamic`` (ignored in training), movable barriers are ``fence``,
#: construction vehicles are ``truck``, trailers are ``trailer`` (ignored).
CATEGORY_LABELS: Dict[str, str] = {
    'vehicle.car': 'car',
    'vehicle.truck': 'truck',
    'vehicle.bus.rigid': 'bus',
    'vehicle.train': 'train',
    'vehicle.trailer': 'trailer',
    'vehicle.caravan': 'caravan',
    'vehicle.construction': 'truck',
    'vehicle.motorcycle': 'motorcycle',
    'vehicle.bicycle': 'bicycle',
    'human.pedestrian.adult': 'person',
    'human.pedestrian.child': 'person',
    'movable_object.trafficcone': 'dynamic',
    'movable_object.barrier': 'fence',
    'movable_object.debris': 'dynamic',
}


def train_id_table() -> np.ndarray:
    """Look-up table from label id to train id.

    Returns:
        np.ndarray: uint8, (256,); 255 where a label is not trained on.
    """
    table = np.full(256, 255, np.uint8)
    for label in LABELS:
        table[label.id] = label.train_id
    return table


def color_table() -> np.ndarray:
    """Look-up table from label id to its RGB colour.

    Returns:
        np.ndarray: uint8, (256, 3).
    """
    table = np.zeros((256, 3), np.uint8)
    for label in LABELS:
        table[label.id] = label.color
    return table
