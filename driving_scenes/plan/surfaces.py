"""Surfaces in street coordinates."""
from typing import Any, Sequence

import numpy as np

from ..meshes import MeshBuilder
from .street import Street


def lines(a: float, b: float, step: float = 4.) -> np.ndarray:
    """Places from ``a`` to ``b``, ``step`` metres apart at most."""
    return np.linspace(a, b, max(2, int(np.ceil(abs(b - a) / step)) + 1))


def add_surface(b: MeshBuilder, street: Street, s_lines: Sequence[float],
                d_lines: Sequence[float], z: float, **look: Any) -> None:
    """Add a surface over a grid in street coordinates.

    Args:
        b (MeshBuilder): Gets it.
        street (Street): Bends it.
        s_lines (Sequence[float]): Metres along the street, rising.
        d_lines (Sequence[float]): Metres to its left, rising.
        z (float): Height, metres.
        **look: Material, colour and label.
    """
    s, d = np.meshgrid(s_lines, d_lines, indexing='ij')
    x, y = street.to_world(s, d)
    v = np.stack([x, y, np.full_like(x, z)], -1).reshape(-1, 3)
    n, m = s.shape
    i, j = np.meshgrid(np.arange(n - 1), np.arange(m - 1), indexing='ij')
    a = (i * m + j).reshape(-1)
    faces = np.concatenate([
        np.stack([a, a + m, a + m + 1], 1),
        np.stack([a, a + m + 1, a + 1], 1)
    ])
    sd = np.stack([s, d], -1).reshape(-1, 2)
    b.add(v, faces, uv=sd[faces], **look)
