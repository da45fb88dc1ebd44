"""Random numbers that one part of a scene draws without moving another's.

Every part has a generator of its own, by name, and every function that a
part calls gets a child of it. A draw that is added to one of them, or taken
away, leaves all others as they are.
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
        name (str): Name of the part; other names give other numbers.
    """
    return np.random.default_rng(
        np.random.SeedSequence(list(seed), spawn_key=tuple(name.encode())))


def child(rng: np.random.Generator) -> np.random.Generator:
    """A generator that neither feels nor moves the draws of its parent."""
    return rng.spawn(1)[0]
