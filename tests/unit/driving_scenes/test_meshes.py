"""Meshes: primitives, attributes of faces, moving."""
import numpy as np

from driving_scenes.materials import Mat
from driving_scenes.meshes import MeshBuilder, concat, icosphere


def test_primitives_are_where_they_should_be():
    b = MeshBuilder(7)
    b.box((1, 2, 3), (2, 4, 6))
    low, high = b.build().bounds()
    np.testing.assert_allclose(low, (0, 0, 0), atol=1e-6)
    np.testing.assert_allclose(high, (2, 4, 6), atol=1e-6)
    for axis in np.eye(3):
        b = MeshBuilder()
        b.tube(-axis, axis * 2, .5, sides=16)
        low, high = b.build().bounds()
        np.testing.assert_allclose(low[axis > 0], -1, atol=1e-6)
        np.testing.assert_allclose(high[axis > 0], 2, atol=1e-6)
        np.testing.assert_allclose(high[axis == 0], .5, atol=.02)
    v, f = icosphere(2)
    np.testing.assert_allclose((v**2).sum(1), 1)
    assert len(f) == 20 * 16


def test_attributes_follow_their_faces():
    b = MeshBuilder(3)
    b.box((0, 0, 0), (1, 1, 1), material=Mat.GLASS, color=(.1, .2, .3))
    b.quad([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)],
           uv=[(0, 0), (5, 0), (5, 7), (0, 7)],
           label=9)
    inner = b.build()
    outer = MeshBuilder(4)
    outer.merge(inner)
    outer.box((9, 9, 9), (1, 1, 1))
    mesh = outer.build()
    mesh = concat([mesh, mesh.moved((1, 0, 0))])
    assert len(mesh) == 2 * (12 + 2 + 12)
    assert mesh.faces.max() == len(mesh.vertices) - 1
    quads = np.flatnonzero(mesh.label == 9)
    assert len(quads) == 4
    assert mesh.uv[quads].max() == 7
    np.testing.assert_allclose(mesh.color[mesh.material == Mat.GLASS],
                               np.tile([[.1, .2, .3]], (24, 1)))


def test_moved_turns_about_z_then_shifts():
    b = MeshBuilder()
    b.box((2, 0, 1), (2, 1, 2))
    low, high = b.build().moved((10, 20, .5), np.pi / 2).bounds()
    np.testing.assert_allclose(low, (9.5, 21, .5), atol=1e-5)
    np.testing.assert_allclose(high, (10.5, 23, 2.5), atol=1e-5)
