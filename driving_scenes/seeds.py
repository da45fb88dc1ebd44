"""Independent random generators for the parts of a scene.

Every part has its own generator, derived from its name, and every function
that a part calls gets a child of it. Adding or removing a draw in one of them
does not change the others.
"""
from typing import Sequence

import numpy as np

#: The numbers that a scene depends on: seed of the data set, split, number
#: within the split, kind of the data set.
Seed = Sequence[int]


def named(seed: Seed, name: str) -> np.random.Generator:
    """The generator of a part of a scene.

    Args:
        seed (Sequence[int]): Numbers of the scene.
        name (str): Name of the part.
    """
    return np.random.default_rng(
        np.random.SeedSequence(list(seed), spawn_key=tuple(name.encode())))


def child(rng: np.random.Generator) -> np.random.Generator:
    """A generator that is independent of later draws of its parent."""
    return rng.spawn(1)[0]
