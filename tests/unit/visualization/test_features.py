import torch

from mmkd.core.taps.tap import TapSpec
from mmkd.visualization.features import feature_visuals


def spec(feat, **what):
    return TapSpec('a', tuple(feat.shape), **{'input_size': (32, 32), **what})


def test_maps_of_both_sides():
    torch.manual_seed(0)
    maps = [torch.randn(1, 6, 4, 4), torch.randn(1, 8, 2, 2)]
    specs = [spec(feat) for feat in maps]
    found = feature_visuals(
        dict(neck=maps), dict(neck=maps[1:]), dict(neck=specs),
        dict(neck=specs[1:]))
    assert [(x.name, x.group, x.values.shape) for x in found] == [
        ('features of the student', 'level 0', (1, 4, 4, 3)),
        ('features of the student', 'level 1', (1, 2, 2, 3)),
        ('features of the teacher', 'level 0', (1, 2, 2, 3)),
    ]


def test_what_is_no_map_of_features_in_the_image():
    feat = torch.randn(1, 6, 4, 4)
    roles = dict(
        logits=spec(feat, kind='logits'),
        boxes=spec(feat, branch='bbox_pred'),
        bev=spec(feat, input_size=None),
        summary=spec(feat[..., 0, 0]))
    tensors = {
        role: [feat[..., 0, 0] if role == 'summary' else feat]
        for role in roles
    }
    specs = {role: [one] for role, one in roles.items()}
    assert feature_visuals(tensors, {}, specs, {}) == []
    specs['bev'] = [spec(feat)]
    assert feature_visuals(tensors, {}, specs, {})[0].group == 'bev 0'
