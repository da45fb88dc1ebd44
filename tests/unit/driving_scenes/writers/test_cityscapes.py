"""Label files of the scenes."""
import numpy as np

from driving_scenes.labels import LABEL_IDS
from driving_scenes.writers import CityscapesWriter
from tests.fixtures.scenes import made_up_frame


def test_cityscapes_instances_are_numbered_by_class():
    ids = CityscapesWriter('').instance_ids(made_up_frame())
    assert sorted(np.unique(ids)) == [
        LABEL_IDS['road'], 24000, 24001, 26000, 26001, 26002, 26003
    ]
