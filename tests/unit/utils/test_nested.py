import torch

from mmkd.utils.nested import clone


def test_clone():
    value = dict(
        points=[torch.ones(2)], shape=(torch.zeros(1), 'x'), none=None)
    copy = clone(value)
    copy['points'][0] += 1
    copy['shape'][0].add_(1)
    assert value['points'][0].eq(1).all() and value['shape'][0].eq(0).all()
    assert copy['shape'][1] == 'x' and copy['none'] is None
