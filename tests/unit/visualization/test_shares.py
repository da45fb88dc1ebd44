import numpy as np
from PIL import Image

from mmkd.visualization.shares import draw_shares


def test_areas_have_the_sizes_of_the_shares(tmp_path):
    path = tmp_path / 'shares.png'
    draw_shares([(1, dict(kd=0.25, student=0.75)), (100, dict(student=1.))],
                str(path))
    with Image.open(path) as image:
        pixels = np.asarray(image.convert('RGB')).astype(int)
    # Blue is the task, at the bottom, and orange a triangle above it.
    blue = (pixels[..., 2] - pixels[..., 0]) > 60
    orange = (pixels[..., 0] - pixels[..., 2]) > 60
    share = orange.sum() / (orange.sum() + blue.sum())
    assert 0.08 < share < 0.17
    rows = np.arange(len(pixels))[:, None]
    assert (rows * blue).sum() / blue.sum() > (rows *
                                               orange).sum() / orange.sum()
