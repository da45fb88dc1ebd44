import pytest
import torch

from mmkd.bev import BEVGrid
from mmkd.errors import ConfigError


def test_grid():
    grid = BEVGrid([-4, -2, -1, 4, 2, 3], [2, 1, 2])
    assert grid.shape == (2, 4, 4) and grid.num_cells == 32
    points = torch.tensor([[-4., -2., -1.], [3.9, 1.9, 2.9], [4., 0., 0.],
                           [-4.1, 0., 0.], [0., 0., -1.5],
                           [float('nan'), 0., 0.]])
    assert grid.index(points).tolist() == [0, 31, -1, -1, -1, -1]
    # The released code lets in what lies up to a cell below.
    assert grid.index(points, 'trunc').tolist() == [0, 31, -1, 8, 10, -1]
    centres = grid.centres()
    assert centres.shape == (2, 4, 4, 3)
    assert centres[0, 0, 0].tolist() == [-3, -1.5, 0]
    assert grid.index(centres).flatten().tolist() == list(range(32))
    with pytest.raises(ConfigError, match='whole number'):
        BEVGrid([0, 0, 0, 1, 1, 1], [.3, 1, 1])
    with pytest.raises(ConfigError, match='six numbers'):
        BEVGrid([0, 0, 1, 1], [1, 1, 1])
