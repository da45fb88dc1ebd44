from importlib import import_module

import pytest
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.testing import detector, segmentor


def build(kind=segmentor, connectors=True):
    place = dict(
        type='CWD', place='stages', student='backbone', teacher='backbone')
    return DistillationModel(
        kind(),
        dict(teacher=dict(cfg=kind(8), ckpt='random')),
        dict(kd=place if connectors else dict(type='LogitsKD')),
        dry_run_size=(64, 64))


def config(**kwargs):
    kwargs.setdefault('optimizer', dict(type='SGD', lr=0.1, weight_decay=1e-4))
    return dict(
        type='OptimWrapper',
        constructor='mmkd.DistillationOptimWrapperConstructor',
        **kwargs)


def settings(wrapper, network):
    names = {id(p): n for n, p in network.named_parameters()}
    return [{
        **{
            k: v
            for k, v in group.items() if k != 'params'
        }, 'params': [names[id(p)] for p in group['params']]
    } for group in wrapper.optimizer.param_groups]


RULES = dict(
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        custom_keys={
            'decode_head': dict(lr_mult=10.),
            '^backbone.conv1': dict(lr_mult=0.1)
        }))


@pytest.mark.parametrize('rules', [{}, RULES])
def test_student_as_in_its_recipe(rules):
    model = build()
    wrapper = build_optim_wrapper(model, config(**rules))
    plain = config(**rules)
    plain.pop('constructor')
    expected = settings(
        build_optim_wrapper(model.student, plain), model.student)
    groups = wrapper.optimizer.param_groups
    connectors = groups.pop()
    assert settings(wrapper, model.student) == expected
    assert (connectors['lr'], connectors['weight_decay']) == (0.1, 1e-4)
    assert {id(p)
            for p in connectors['params']
            } == {id(p)
                  for p in model.distillers.parameters()}


def test_without_connectors():
    model = build(connectors=False)
    wrapper = build_optim_wrapper(model, config())
    assert len(wrapper.optimizer.param_groups) == 1


@pytest.mark.parametrize('scope, kind, name', [
    ('mmseg', segmentor, 'LearningRateDecayOptimizerConstructor'),
    ('mmdet', detector, 'LearningRateDecayOptimizerConstructor'),
])
def test_layer_wise_constructors_of_the_libraries(scope, kind, name):
    """They read the names of the student's parameters."""
    model = build(kind)
    kwargs = dict(
        student_constructor=name,
        optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.05),
        paramwise_cfg=dict(
            decay_rate=0.9, decay_type='stage_wise', num_layers=6))
    seen = []
    cls = getattr(import_module(f'{scope}.engine.optimizers'), name)
    with DefaultScope.overwrite_default_scope(scope):
        add = cls.add_params
        cls.add_params = lambda self, params, module, **kw: (
            seen.extend(n for n, _ in module.named_parameters()),
            params.append(dict(params=list(module.parameters()))))[1]
        try:
            wrapper = build_optim_wrapper(model, config(**kwargs))
        finally:
            cls.add_params = add
    assert seen == [n for n, _ in model.student.named_parameters()]
    assert len(wrapper.optimizer.param_groups) == 2


def test_frozen_layers_are_left_out():
    model = build()
    model.student.backbone.requires_grad_(False)
    wrapper = build_optim_wrapper(model, config())
    held = {
        id(p)
        for group in wrapper.optimizer.param_groups
        for p in group['params'] if p.requires_grad
    }
    expected = [p for p in model.parameters() if p.requires_grad]
    assert held == {id(p) for p in expected}


def test_several_optimisers():

    class Several:

        def __init__(self, *args):
            pass

        def __call__(self, model):
            return dict(a=1)

    from mmkd.engine.optim import DistillationOptimWrapperConstructor
    constructor = DistillationOptimWrapperConstructor(config())
    constructor.constructor = Several()
    with pytest.raises(ConfigError, match='several optimisers'):
        constructor(build())
    assert constructor(build(connectors=False)) == dict(a=1)
