"""Checkpoints of version 0.1 load into the methods of today.

``checkpoints_0_1.json`` holds the names and shapes of what that version saved
of each method's own modules, for the examples of the methods.
"""
import json
from pathlib import Path

import pytest
import torch
from mmengine.runner import load_checkpoint

from mmkd.registry import MODELS
from mmkd.testing.methods import METHOD_EXAMPLES

SAVED = json.loads(
    (Path(__file__).parents[1] / 'fixtures/checkpoints_0_1.json').read_text())


@pytest.mark.parametrize('name', SAVED)
def test_a_checkpoint_of_version_0_1_loads(name, tmp_path):
    example = name if name in METHOD_EXAMPLES else name.rsplit('_', 1)[0]
    model = METHOD_EXAMPLES[example]().model
    model['distillers']['kd'].update(SAVED[name]['options'])
    network = MODELS.build(dict(type='mmkd.DistillationModel', **model))
    old = {
        key: value
        for key, value in network.state_dict().items()
        if not key.startswith('distill.')
    }
    saved = {
        f'distill.kd.{key}': torch.randn([*map(int, shape.split())])
        for key, shape in SAVED[name]['keys'].items()
    }
    path = str(tmp_path / 'old.pth')
    torch.save(dict(state_dict={**old, **saved}), path)
    load_checkpoint(network, path, strict=True)
    loaded = network.state_dict()
    assert saved and all(
        torch.equal(loaded[key], value.to(loaded[key].dtype))
        for key, value in saved.items())
