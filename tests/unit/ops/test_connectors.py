import pytest
import torch
from torch import nn

from mmkd.errors import ConfigError
from mmkd.ops.connectors import ConvConnector, build_connector, match_size


def test_auto():
    assert isinstance(build_connector('auto', 4, 4), nn.Identity)
    connector = build_connector('auto', 4, 6)
    assert connector(torch.zeros(1, 4, 5, 3)).shape == (1, 6, 5, 3)
    assert sum(p.numel() for p in connector.parameters()) == 4 * 6 + 6


def test_none():
    assert isinstance(build_connector(None, 4, 4), nn.Identity)
    with pytest.raises(ConfigError, match="4 channels and the teacher 6"):
        build_connector(None, 4, 6)


def test_dict():
    cfg = dict(type='ConvConnector', kernel_size=3, norm_cfg=dict(type='BN'))
    connector = build_connector(cfg, 4, 6)
    assert isinstance(connector, ConvConnector) and connector.with_norm
    assert connector(torch.zeros(2, 4, 5, 3)).shape == (2, 6, 5, 3)
    # Asked for, it is there for equal channels as well.
    assert isinstance(build_connector(cfg, 4, 4), ConvConnector)
    assert 'in_channels' not in cfg


@pytest.mark.parametrize('cfg', [
    'conv', 3,
    dict(type='NoConnector'),
    dict(kernel_size=3),
    dict(type='ConvConnector', kernel=3)
])
def test_wrong(cfg):
    with pytest.raises(ConfigError, match='connector'):
        build_connector(cfg, 4, 6)


def test_match_size():
    feat = torch.rand(1, 2, 4, 4)
    assert match_size(feat, torch.rand(1, 7, 4, 4)) is feat
    assert match_size(feat, torch.rand(1, 7, 8, 2)).shape == (1, 2, 8, 2)
