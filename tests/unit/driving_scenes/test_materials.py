"""Every material reflects finite light."""
import numpy as np

from driving_scenes.materials import Mat, Points, shade


def test_every_material_shades_to_finite_light():
    n = 500
    r = np.random.default_rng(0)
    for night, wet in ((0., 0.), (1., 1.)):
        for kind in Mat:
            points = Points(
                r.uniform(-40, 40, (n, 2)), r.uniform(0, .8, (n, 3)),
                r.uniform(.5, 3, (n, 4)), r.uniform(.001, 2, n),
                r.uniform(-1, 1, n), night, wet)
            surface = shade(np.full(n, kind, np.uint8), points)
            for value in (surface.albedo, surface.gloss, surface.emission):
                assert np.isfinite(value).all() and (value >= 0).all()
            assert surface.albedo.max() <= .95
