"""Sizes of the presets."""
from dataclasses import asdict, dataclass
from typing import Dict, List, Tuple

SPLITS = ('train', 'val', 'test')

#: Cities of each split; no street appears in two of them.
CITIES: Dict[str, Tuple[str, ...]] = {
    'train': ('alderford', 'briarton', 'coldwell', 'dunmore', 'elmsworth',
              'farley', 'glenbrook', 'harwick'),
    'val': ('ivelton', 'jarrow', 'kelso'),
    'test': ('langmoor', 'marden', 'norwood', 'oakham'),
}


@dataclass(frozen=True)
class Preset:
    """Size of a data set.

    Args:
        train (int): Scenes of the training split.
        val (int): Scenes of the validation split.
        test (int): Scenes of the test split.
        frames (int): Images per scene, evenly over its ten seconds.
        height (int): Height of an image in pixels. Defaults to 128.
        width (int): Width in pixels. Defaults to 256.
        supersample (int): Rays along each side of a pixel. Defaults to 2.
    """
    train: int
    val: int
    test: int
    frames: int
    height: int = 128
    width: int = 256
    supersample: int = 2

    def scenes(self) -> List[Tuple[str, int]]:
        """All scenes as (split, number)."""
        return [(split, number) for split in SPLITS
                for number in range(getattr(self, split))]

    def to_dict(self) -> Dict[str, int]:
        """The numbers by name."""
        return asdict(self)


# Scenes show the twelve street features in turns, so every class is certain
# in a split of twelve scenes: for training and testing from `quick` on, for
# validation in `bench` only.
PRESETS: Dict[str, Preset] = {
    'tiny': Preset(2, 1, 1, 2, height=64, width=128),
    'quick': Preset(24, 2, 12, 2),
    'small': Preset(40, 6, 12, 4),
    'bench': Preset(110, 18, 36, 6),
}
