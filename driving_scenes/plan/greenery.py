"""The trees and bushes of a scene: a few shapes used repeatedly."""
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ..assets import plants
from ..meshes import Mesh
from ..seeds import child


@dataclass(frozen=True)
class Greenery:
    """Shapes of plants.

    Args:
        trees (tuple[Mesh, ...]): Trees for open spaces.
        slim (tuple[Mesh, ...]): Trees beside a street.
        bushes (tuple[Mesh, ...]): Bushes.
    """
    trees: Tuple[Mesh, ...]
    slim: Tuple[Mesh, ...]
    bushes: Tuple[Mesh, ...]


def draw_greenery(rng: np.random.Generator) -> Greenery:
    """The plants of a scene."""
    return Greenery(
        tuple(plants.tree(child(rng)) for _ in range(4)),
        tuple(plants.tree(child(rng), kind) for kind in ('young', 'tall')),
        tuple(plants.bush(child(rng)) for _ in range(3)))
