import numpy as np
import pytest
import torch
from torch import nn

from mmkd.core.cache.keys import (content_key, fingerprint, library_versions,
                                  weights_hash)


def test_equal_content_has_one_key():
    image = torch.randint(0, 256, (3, 8, 6), dtype=torch.uint8)
    strided = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert content_key(image) == content_key(strided)
    assert content_key(image) == content_key(image.numpy())
    assert len(content_key(image)) == 16
    nested = dict(a=[image, 1.5], b=(True, None, 'text'))
    assert content_key(nested) == content_key(dict(reversed(nested.items())))


@pytest.mark.parametrize('other', [
    lambda x: x.clone().index_put((torch.tensor(0), ), x[0] + 1),
    lambda x: x.reshape(3, 6, 8),
    lambda x: x.view(torch.int8),
    lambda x: x.flip(-1),
    lambda x: x[:, :-1],
    lambda x: [x],
])
def test_other_content_has_another_key(other):
    image = torch.randint(0, 256, (3, 8, 6), dtype=torch.uint8)
    assert content_key(other(image)) != content_key(image)


def test_types_of_values():
    values = [
        torch.zeros(2, 0),
        torch.tensor(1.),
        torch.zeros(2, dtype=torch.bfloat16),
        np.float32(2), [1, [2]], [[1], 2],
        dict(a=1),
        dict(b=1)
    ]
    assert len({content_key(value) for value in values}) == len(values)


def test_weights():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    before = weights_hash(network)
    network.to(memory_format=torch.channels_last)
    assert weights_hash(network) == before
    network[1].running_mean[0] += 1e-6
    assert weights_hash(network) != before
    assert library_versions(network) == {}


def test_fingerprint():
    facts = dict(taps=['neck'], precision='float32')
    assert fingerprint(facts) == fingerprint(dict(reversed(facts.items())))
    assert fingerprint(facts) != fingerprint(dict(facts, taps=['backbone']))
    assert len(fingerprint(facts)) == 16


def test_addresses_do_not_count():

    class Thing:
        pass

    assert fingerprint(dict(x=Thing())) == fingerprint(dict(x=Thing()))
    assert fingerprint(dict(x=repr(Thing()))) == fingerprint(dict(x=Thing()))
    assert fingerprint(dict(x=Thing)) != fingerprint(dict(x=Thing()))
