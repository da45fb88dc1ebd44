import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmkd.core import Rewriter, RewritingModel, Teacher
from mmkd.core.cache.keys import weights_hash
from mmkd.errors import CheckpointError, ConfigError
from mmkd.registry import MODELS
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor)


@MODELS.register_module(force=True)
class Scaled(Rewriter):
    """Multiplies each level by a number that it learns."""

    def setup(self, specs):
        self.specs = list(specs)
        self.scale = nn.Parameter(torch.ones(len(specs)))

    def rewrite(self, level, value):
        return value * self.scale[level], dict(size=self.scale[level] / 2)


def build(cfg=None, size=(64, 64), rewriter=None, **options):
    torch.manual_seed(0)
    return RewritingModel(
        dict(cfg=cfg or detector(), ckpt='random', **options), rewriter
        or dict(type='Scaled'), size).train()


def losses_of(model, batch):
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    return model(**data, mode='loss')


def test_only_the_rewriter_trains():
    model = build()
    assert [name for name, _ in model.named_parameters()] == ['rewriter.scale']
    assert set(
        model.state_dict()) == {'rewriter.scale', 'teacher_hash', 'places'}
    network = model.teacher.network
    before = copy.deepcopy(network.state_dict())
    log = model.train_step(
        detection_batch(),
        OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)))
    # Five levels of 1/2 each.
    assert log['rewriter.loss_size'] == 2.5
    assert log['loss'].item() == pytest.approx(
        sum(log[key].item() for key in log if 'loss_' in key), rel=1e-5)
    scale = model.rewriter.scale
    assert scale.ne(1).all()
    assert not network.training
    after = network.state_dict()
    assert all(value.equal(before[key]) for key, value in after.items())
    assert all(p.grad is None for p in network.parameters())


def test_factors_of_one_change_nothing():
    """In training and in prediction, and no hook stays."""
    model, batch = build(), detection_batch()
    network = model.teacher.network
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    own = network(**copy.deepcopy(data), mode='loss')
    losses = model(**data, mode='loss')
    for key, value in own.items():
        assert torch.stack(value).equal(torch.stack(
            losses[f'teacher.{key}'])), key
    model.eval()
    for changed in (False, True):
        if changed:
            with torch.no_grad():
                model.rewriter.scale.mul_(-1)
        data = model.data_preprocessor(copy.deepcopy(batch), False)
        own, theirs = (x(data['inputs'])[0] for x in (network, model))
        assert own[0].equal(theirs[0]) != changed
    assert not any(module._forward_hooks for module in network.modules())


def test_segmentation_and_named_taps():
    rewriter = Scaled(['backbone[0]', 'decode_head.conv_seg'])
    model = build(segmentor(), (32, 64), rewriter)
    assert [spec.path for spec in model.rewriter.specs
            ] == ['backbone[0]', 'decode_head.conv_seg']
    model.rewriter.scale.data[0] = 2.
    batch = segmentation_batch()
    losses = losses_of(model, batch)
    # The coarse stages do not read what the tap replaces, and the head reads
    # the last one only.
    losses['teacher.decode.loss_ce'].backward()
    assert model.rewriter.scale.grad[0] == 0 != model.rewriter.scale.grad[1]


def test_hash_of_the_teacher(tmp_path):
    model = build()
    found = bytes(model.teacher_hash.tolist()).hex()
    assert found == weights_hash(model.teacher.network)


def test_weights_of_another_teacher():
    """They are a start, and no run to resume."""
    model = build()
    own = model.teacher_hash.clone()
    state = {**model.state_dict(), 'rewriter.scale': torch.full((5, ), 2.)}
    model.check_resumable(state)
    for key, what in (('teacher_hash', 'another teacher'), ('places',
                                                            'other taps')):
        other = {**state, key: torch.zeros_like(state[key])}
        with pytest.raises(CheckpointError, match=f'with {what}; resume'):
            model.check_resumable(other)
        model.load_state_dict(other)
        assert model.teacher_hash.equal(own)
        assert model.rewriter.scale.eq(2).all()


@pytest.mark.parametrize('rewriter, message', [
    (dict(type='Nothing'), "`rewriter`: there is no 'Nothing'"),
    (Scaled(dict(module='neck', calls='all')), 'what goes into it can'),
    (Scaled(dict(module='neck', part=(0, 2))), 'with `part`; leave it out'),
])
def test_rewriters_that_do_not_serve(rewriter, message):
    with pytest.raises(ConfigError, match=message):
        build(rewriter=rewriter)


def test_preprocessor_outside_the_model():
    cfg = segmentor()['model']
    preprocessor = cfg.pop('data_preprocessor')
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = RewritingModel(
            dict(cfg=cfg, ckpt='random'),
            Scaled('backbone'), (32, 64),
            data_preprocessor=preprocessor)
    assert model.data_preprocessor.size == (32, 64)


def test_mixed_precision():
    model = build()
    with torch.autocast('cpu', torch.bfloat16):
        losses = losses_of(model, detection_batch())
        total, _ = model.parse_losses(losses)
    total.backward()
    assert model.rewriter.scale.grad.isfinite().all()


@pytest.mark.parametrize(
    'option', [
        dict(cache=dict(dir='x')),
        dict(chunk=1),
        dict(device='cpu'),
        dict(mode='loss'),
        dict(input_map={'a': 'b'})
    ],
    ids=str)
def test_options_of_the_teacher(option):
    name, = option
    with pytest.raises(ConfigError, match=f'cannot have `{name}`, [^;]+; rem'):
        build(**option)


def test_a_folded_teacher_is_unfolded(tmp_path):
    teacher = Teacher(segmentor(), 'random')
    with pytest.raises(ConfigError, match='cannot have `chunk`'):
        RewritingModel(
            Teacher(segmentor(), 'random', chunk=2), dict(type='Scaled'))
    unfolded = []
    teacher.unfold = lambda: unfolded.append(1)
    RewritingModel(teacher, Scaled('backbone'), (32, 64))
    assert unfolded


def test_not_a_rewriter():
    with pytest.raises(ConfigError, match='config of a Rewriter'):
        build(
            rewriter=dict(type='ConvConnector', in_channels=1, out_channels=1))
