"""Street furniture faces its traffic."""
import numpy as np

from driving_scenes.assets import street
from driving_scenes.materials import Mat


def test_signs_and_lights_face_their_traffic():
    mesh = street.traffic_light(np.random.default_rng(0), 0)
    lamp = (mesh.material == Mat.LAMP) & (mesh.param[:, 0] > 0)
    assert lamp.any()
    assert mesh.vertices[mesh.faces[lamp]][..., 0].max() < -.2
    # Red is the uppermost lamp, and the one that shines.
    assert mesh.color[lamp].mean(0).argmax() == 0
    z = mesh.vertices[mesh.faces[lamp]][..., 2].mean()
    dark = (mesh.material == Mat.LAMP) & ~lamp
    assert z > mesh.vertices[mesh.faces[dark]][..., 2].mean()
