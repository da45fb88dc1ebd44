"""The dry run on the device that trains; see test_model.py for the rest."""
import random

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from mmkd import apis
from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.families import FAMILIES, family_of, register_family
from mmkd.registry import MODELS
from mmkd.testing import segmentation_batch, segmentor
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator
from mmkd.utils.rng import random_state


class DeviceOnly(nn.Module):
    """An operator without code for CPUs, which draws random numbers."""

    def forward(self, x):
        if x.device != DEVICE:
            raise RuntimeError('no implementation for the device cpu')
        random.random()
        np.random.rand()
        return x + torch.rand(3, device=x.device).mean()


@MODELS.register_module()
class DeviceOnlyNet(BaseModel):

    def __init__(self, width=4):
        super().__init__(dict(type='mmseg.SegDataPreProcessor', size=(32, 64)))
        self.backbone = nn.Sequential(
            nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), DeviceOnly())
        self.backbone[1].register_buffer('steps', torch.zeros(()))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.backbone[1].steps += 1
        x = self.backbone(inputs)
        return dict(loss=x.mean()) if mode == 'loss' else x


def build(**kwargs):
    return DistillationModel(
        DeviceOnlyNet(4), dict(teacher=dict(cfg=DeviceOnlyNet(8))),
        dict(cwd=dict(type='CWD', place='stages')), **kwargs)


def test_operators_of_the_device_only():
    with pytest.raises(
            ConfigError,
            match='student .DeviceOnlyNet. does not '
            'run.*for the device cpu.*needs a GPU'):
        build()
    with PretendedAccelerator() as accelerator:
        model = build()
        assert model.taps.specs_of('cwd')[0]['stages'][0].shape[1] == 4
        # Until the runner moves it, the model is where it was built.
        everything = [*model.parameters(), *model.buffers()]
        everything += model.teachers['teacher'].network.parameters()
        assert {x.device.type for x in everything} == {'cpu'}
        model.to(DEVICE)
        batch = model.data_preprocessor(segmentation_batch(), True)
        losses = model(**batch, mode='loss')
        assert losses['cwd.loss'].device == DEVICE
    assert not accelerator.refused


@pytest.mark.parametrize('raw', [False, True])
def test_networks_and_random_numbers_stay_as_they_were(raw):
    networks = [DeviceOnlyNet(width) for width in (4, 8)]
    tensors = [
        x for network in networks
        for x in (*network.parameters(), *network.buffers())
    ]
    before = [(x, x.data_ptr(), x.clone()) for x in tensors]
    state = random_state()
    with PretendedAccelerator():
        DistillationModel(
            networks[0],
            dict(teacher=dict(cfg=networks[1])),
            dict(cwd=dict(type='CWD', place='stages')),
            dry_run_batch=segmentation_batch() if raw else None)
    after = [
        x for network in networks
        for x in (*network.parameters(), *network.buffers())
    ]
    assert len(after) == len(before)
    for new, (old, place, value) in zip(after, before):
        assert new is old and new.data_ptr() == place and new.equal(value)
    assert {n.data_preprocessor.device.type for n in networks} == {'cpu'}
    now = random_state()
    assert now['python'] == state['python']
    assert now['torch'].equal(state['torch'])
    assert (now['numpy'][1] == state['numpy'][1]).all()


def test_listed_taps():
    with PretendedAccelerator():
        rows = apis.list_taps(dict(model=dict(type='mmkd.DeviceOnlyNet')))
    assert rows['student'][-1][0] == 'backbone'


def test_automatic_weight_takes_the_ratio_of_the_family():
    auto = dict(type='CWD', place='stages', loss_weight='auto')
    own = dict(auto, loss_weight=dict(type='auto', ratio=2.))
    model = DistillationModel(
        segmentor(4), dict(t=dict(cfg=segmentor(8), ckpt='random')),
        dict(auto=auto, own=own))
    ratios = {key: x.balance.ratio for key, x in model.distillers.items()}
    assert ratios == dict(auto=family_of(model.student).auto_ratio, own=2.)
    assert ratios['auto'] == 3


def test_weights_are_those_of_a_build_on_the_cpu():

    def states():
        torch.manual_seed(0)
        model = DistillationModel(
            segmentor(4), dict(t=dict(cfg=segmentor(8), ckpt='random')),
            dict(kd=dict(type='CWD', place='stages')))
        return [
            *model.state_dict().values(),
            *model.teachers['t'].network.state_dict().values(),
            torch.get_rng_state()
        ]

    plain = states()
    with PretendedAccelerator():
        moved = states()
    assert all(a.equal(b) for a, b in zip(plain, moved))


def test_a_preprocessor_of_the_device_only():
    network = DeviceOnlyNet()
    network.data_preprocessor = None

    @register_family
    class Own(type(family_of(network))):
        name = 'own'

        def matches(self, other):
            return isinstance(other, DeviceOnlyNet)

        def example_batch(self, network, size):
            raise RuntimeError('not implemented on CPU')

    try:
        with pytest.raises(ConfigError, match='on an example.*needs a GPU'):
            DistillationModel(network, dict(t=dict(cfg=DeviceOnlyNet())),
                              dict(kd=dict(type='CWD', place='stages')))
    finally:
        FAMILIES[:] = [x for x in FAMILIES if x.name != 'own']
