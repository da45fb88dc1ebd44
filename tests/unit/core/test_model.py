import copy
import gc
import pickle

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from mmkd.core.distiller import Distiller
from mmkd.core.network import build_network
from mmkd.core.schedule import build_weight
from mmkd.core.teacher import Teacher
from mmkd.errors import ConfigError, TapError
from mmkd.registry import DISTILLERS
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor)
from tests.fixtures.models import STAGES, build, losses, train_step


def count_calls(module):
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def hooked(*networks):
    return [
        module for network in networks for module in network.modules()
        if module._forward_hooks or module._forward_pre_hooks
    ]


# ------------------------------------------------------------------ one step


def test_losses_are_named():
    names = set(losses(build()))
    assert names == {
        'student.decode.loss_ce', 'student.decode.acc_seg', 'cwd.loss'
    }


def test_connectors_fit_themselves():
    model = build()
    connector = model.distillers['cwd'].connectors[0].conv
    assert (connector.in_channels, connector.out_channels) == (16, 32)
    text = model.summary()
    assert ('backbone[2] 16x2x4 /16 teacher:backbone[2] 32x2x4 /16'
            in ' '.join(text.split()))
    assert 'loss 50' in text and '544 parameters' in text


def test_compiled_steps_read_every_tap():
    """As with `compile` of a runner: the hooks of each step are new."""
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = build()
        step = losses
        if compiled:
            step = torch.compile(losses, backend='eager')
        found.append([{
            key: value.item()
            for key, value in step(model, segmentation_batch(
                seed=seed)).items()
        } for seed in range(3)])
    assert found[0] == found[1]
    assert len({each['cwd.loss'] for each in found[0]}) == 3


def test_distillation_moves_the_student():
    """The gradient of the method itself, task loss left out."""
    model = build()
    losses(model)['cwd.loss'].backward()
    assert model.student.backbone.conv1 is not None
    stem = next(model.student.backbone.parameters())
    assert stem.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.student.decode_head.parameters())


def test_teacher_is_not_run_when_nobody_needs_it():
    weight = dict(value=1., begin=2)
    model = build(
        dict(cwd=dict(STAGES, teacher='backbone[2]', loss_weight=weight)))
    calls = count_calls(model.teachers['teacher'].network.backbone)
    prepared = []
    model.data_preprocessor._prepare = lambda *args: prepared.append(args)
    batch = model.data_preprocessor(segmentation_batch(), True)
    assert 'teacher_batches' not in batch and batch['step'].teachers == ()
    loss = model(**batch, mode='loss')['cwd.loss']
    assert loss == 0 and not calls and not prepared
    loss.backward()  # attached to the connectors, for DDP
    assert all(p.grad is None for p in model.distillers.parameters())
    MessageHub.get_current_instance().update_info('iter', 2)
    del model.data_preprocessor._prepare
    assert losses(model)['cwd.loss'] > 0 and len(calls) == 1


def test_only_the_needed_teacher_runs():
    teachers = {
        name: dict(cfg=segmentor(8), ckpt='random')
        for name in ('teacher', 'assistant')
    }
    model = build(
        dict(
            a=dict(type='LogitsKD', loss_weight=0.),
            b=dict(type='LogitsKD', teacher='assistant:decode_head.conv_seg')),
        teachers=teachers)
    calls = {n: count_calls(t.network) for n, t in model.teachers.items()}
    batch = model.data_preprocessor(segmentation_batch(), True)
    assert set(batch['teacher_batches']) == {'assistant'}
    found = model(**batch, mode='loss')
    # The forward of a network ends early, so its own hook does not fire.
    assert found['a.loss'] == 0 and found['b.loss'] > 0
    assert not calls['teacher']


def test_teacher_ends_at_its_deepest_tap():
    model = build()
    teacher = model.teachers['teacher'].network
    ran = {
        name: count_calls(module)
        for name, module in teacher.named_modules() if name
    }
    losses(model)
    names = {name for name, calls in ran.items() if calls}
    assert any(name.startswith('backbone.layer4') for name in names)
    assert not any(name.startswith('decode_head') for name in names)

    model = build(
        dict(
            cwd=dict(
                STAGES,
                student='backbone.layer2',
                teacher='backbone.layer2.0.conv1')))
    teacher = model.teachers['teacher'].network
    ran = {
        name: count_calls(module)
        for name, module in teacher.named_modules() if name
    }
    losses(model)
    names = [name for name, calls in ran.items() if calls]
    assert 'backbone.layer1' in names
    past = ('backbone.layer2.0.bn1', 'backbone.layer2.0.norm1',
            'backbone.layer2.1', 'backbone.layer3', 'decode_head')
    assert not any(name.startswith(past) for name in names)


def test_one_forward_serves_all_distillers():
    model = build(
        dict(
            a=dict(type='LogitsKD'),
            b=dict(type='BPKD'),
            c=dict(STAGES, teacher='backbone[2]')))
    student = count_calls(model.student.backbone)
    teacher = count_calls(model.teachers['teacher'].network.backbone)
    losses(model)
    assert len(student) == len(teacher) == 1


def test_hooks_are_gone_after_a_step():
    model = build()
    teacher = model.teachers['teacher'].network
    losses(model)
    assert not hooked(model, teacher)

    def fail(*args):
        raise RuntimeError('out of luck')

    handle = model.student.decode_head.conv_seg.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match='out of luck'):
        losses(model)
    handle.remove()
    assert not hooked(model, teacher)
    handle = teacher.backbone.layer1.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match='out of luck'):
        losses(model)
    handle.remove()
    assert not hooked(model, teacher)


def live_tensors():
    return sum(isinstance(x, torch.Tensor) for x in gc.get_objects())


@pytest.mark.parametrize('with_gc', [True, False])
def test_no_tensor_outlives_the_step(with_gc):
    """As many tensors after a step as after one of plain training."""

    def kept(model, step):
        optimizer = torch.optim.SGD(
            [p for p in model.parameters() if p.requires_grad], 0.01)

        def run():
            step()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        run()
        gc.collect()
        if not with_gc:  # nothing may wait for the garbage collector
            gc.disable()
        try:
            before = live_tensors()
            run()
            return live_tensors() - before
        finally:
            gc.enable()

    plain = build_network(segmentor(), 'student').train()

    def plain_step():
        batch = plain.data_preprocessor(segmentation_batch(), True)
        plain.parse_losses(plain(**batch, mode='loss'))[0].backward()

    model = build(
        dict(bpkd=dict(type='BPKD'), cwd=dict(STAGES, teacher='backbone[2]')))
    assert kept(model, lambda: train_step(model)) <= kept(plain, plain_step)


def test_student_alone_outside_of_training():
    model = build().eval()
    calls = count_calls(model.teachers['teacher'].network.backbone)
    batch = segmentation_batch()
    with torch.no_grad():
        plain = model.student.val_step(batch)
        for mine in (model.val_step(batch), model.test_step(batch)):
            assert mine[0].seg_logits.data.equal(plain[0].seg_logits.data)
        prepared = model.data_preprocessor(batch)
        assert set(prepared) == {'inputs', 'data_samples'}
        assert model(
            **prepared,
            mode='tensor').equal(model.student(**prepared, mode='tensor'))
    assert not calls


def test_overwritten_taps_are_copied():
    # A ReLU follows in place.
    norm = 'backbone.layer3.0.bn1'
    model = build(dict(cwd=dict(STAGES, student=norm, teacher=norm)))
    for side in (model.taps.student, model.taps.teacher):
        assert side['cwd']['stages'][0].copy is True
    # The distiller keeps what its config says.
    assert model.distillers['cwd'].student_taps['stages'][0].copy is None
    train_step(model)
    values = []
    model.student.eval()
    module = dict(model.student.named_modules())[norm]
    module.register_forward_hook(lambda m, i, o: values.append(o.clone()))
    batch = model.data_preprocessor(segmentation_batch(), True)
    _, tensors, _ = model.run_networks(batch['step'], batch)
    student, _ = tensors['cwd']
    assert student['stages'][0].equal(values[0]) and values[0].min() < 0


def test_refusing_the_copy_is_an_error():
    tap = dict(module='backbone.layer3.0.bn1', copy=False)
    model = build(dict(cwd=dict(STAGES, student=tap, teacher='backbone[2]')))
    with pytest.raises(TapError, match='written into by a later layer'):
        losses(model)


def test_student_that_writes_into_its_input():

    class Writer(nn.Module):

        def __init__(self, network):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 3, 1)
            self.network = network

        def forward(self, x):
            x.mul_(0.5)
            return self.network(self.conv1(x))

    def writes(width):
        network = build_network(segmentor(width), 'x')
        network.backbone = Writer(network.backbone)
        return network

    for student, teacher in ((writes(4), segmentor(8)),
                             (segmentor(4), writes(8)), (writes(4),
                                                         writes(8))):
        model = build(
            dict(kd=dict(type='LogitsKD')), student,
            dict(teacher=dict(cfg=teacher, ckpt='random')))
        seen = []
        model.teachers['teacher'].network.backbone.register_forward_pre_hook(
            lambda module, args: seen.append(args[0].clone()))
        raw = segmentation_batch()
        expected = model.student.data_preprocessor(raw, True)['inputs']
        train_step(model, raw)
        assert seen[0].equal(expected)


def test_shared_head_of_a_detector():
    shared = dict(module='bbox_head.retina_cls', calls='all')
    teachers = dict(teacher=dict(cfg=detector(8), ckpt='random'))
    with pytest.raises(TapError, match="fired 5 times.*calls='all'"):
        build(
            dict(
                cwd=dict(
                    type='CWD', student='bbox_head.retina_cls',
                    teacher=shared)),
            detector(),
            teachers,
            dry_run_size=(64, 64))
    model = build(
        dict(cwd=dict(type='CWD', student=shared, teacher=shared)),
        detector(),
        teachers,
        dry_run_size=(64, 64))
    ran = count_calls(model.teachers['teacher'].network.bbox_head)
    train_step(model, detection_batch())
    assert not ran  # five calls of the shared layer, then the end


# ------------------------------------------------ other libraries and inputs


@pytest.mark.parametrize('student, teacher, taps, batch', [
    (segmentor(), detector(8),
     ('backbone[1:4]', 'neck[0:3]'), segmentation_batch),
    (detector(), segmentor(8), ('neck[0]', 'backbone[1]'), detection_batch),
    (detector(), detector(8, channels=16), ('neck', 'neck'), detection_batch),
    (detector(), detector(8, channels=16), (None, None), detection_batch),
])
def test_libraries_mix(student, teacher, taps, batch):
    model = build(
        dict(
            cwd=dict(
                type='CWD', place='neck', student=taps[0], teacher=taps[1])),
        student,
        dict(teacher=dict(cfg=teacher, ckpt='random')),
        dry_run_size=(64, 64))
    log = train_step(model, batch(size=(64, 64)))
    assert 0 < log['cwd.loss'] < 1e4


def test_several_teachers():
    teachers = dict(
        big=dict(cfg=segmentor(8), ckpt='random'),
        boxes=dict(cfg=detector(8), ckpt='random'))
    with pytest.raises(ConfigError, match='which teacher is meant'):
        build(dict(kd=dict(type='LogitsKD')), teachers=teachers)
    with pytest.raises(ConfigError, match="'huge'.*there is big, boxes"):
        build(
            dict(kd=dict(type='LogitsKD', teacher='huge:decode_head')),
            teachers=teachers)
    model = build(
        dict(
            kd=dict(type='LogitsKD', teacher='big:decode_head.conv_seg'),
            cwd=dict(STAGES, student='backbone[1]', teacher='boxes:neck[0]')),
        teachers=teachers,
        dry_run_size=(64, 64))
    log = train_step(model)
    assert log['kd.loss'] > 0 and log['cwd.loss'] > 0


def test_teacher_with_inputs_of_its_own():
    teachers = dict(
        teacher=dict(
            cfg=segmentor(8),
            ckpt='random',
            input_map={'inputs': 'clean.images'}))
    model = build(dict(kd=dict(type='LogitsKD')), teachers=teachers)
    batch, clean = segmentation_batch(seed=0), segmentation_batch(seed=1)
    prepared = model.data_preprocessor(
        dict(batch, clean=dict(images=clean['inputs'])), True)
    teacher = model.teachers['teacher']
    assert prepared['teacher_batches']['teacher']['inputs'].equal(
        teacher.preprocessor(clean, True)['inputs'])
    assert not prepared['inputs'].equal(
        prepared['teacher_batches']['teacher']['inputs'])
    with pytest.raises(ConfigError, match="batch has no 'clean'"):
        model.data_preprocessor(batch, True)


# ---------------------------------------------------- what belongs to a model


def test_teacher_is_no_part_of_the_model():
    model = build()
    teacher = model.teachers['teacher'].network
    weights = {id(x) for x in (*teacher.parameters(), *teacher.buffers())}
    assert not weights & {id(p) for p in model.parameters()}
    assert not weights & {id(b) for b in model.buffers()}
    assert teacher not in list(model.modules())
    assert not any('teacher' in key for key in model.state_dict())


def test_teacher_stays_frozen():
    model = build()
    teacher = model.teachers['teacher'].network
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    for mode in (True, False, True):
        model.train(mode)
        assert not any(m.training for m in teacher.modules())
    for _ in range(2):
        train_step(model)
    assert all(v.equal(before[k]) for k, v in teacher.state_dict().items())
    model.requires_grad_(True)
    assert not any(p.requires_grad for p in teacher.parameters())


def test_teacher_follows_moves():
    model = build().double()
    teacher = model.teachers['teacher']
    assert next(teacher.network.parameters()).dtype == torch.float64
    model.to(torch.bfloat16)
    assert next(teacher.network.parameters()).dtype == torch.bfloat16
    model.float()
    assert next(teacher.network.parameters()).dtype == torch.float32
    model.to('meta')
    assert next(teacher.network.parameters()).device.type == 'meta'
    assert teacher.preprocessor.device.type == 'meta'


def test_deepcopy_shares_the_teacher():
    model = build()
    twin = copy.deepcopy(model)
    assert twin.teachers['teacher'] is model.teachers['teacher']
    assert twin.student is not model.student
    twin.distillers['cwd'].loss_weight = build_weight(0.)
    assert twin.planner.now().teachers == ()
    assert twin.data_preprocessor(segmentation_batch(),
                                  True)['step'].teachers == ()
    twin = copy.deepcopy(model)
    model.eval(), twin.eval()
    assert losses(twin)['cwd.loss'] == losses(model)['cwd.loss']
    # The copy's teacher still ends early.
    ran = count_calls(twin.teachers['teacher'].network.decode_head.conv_seg)
    losses(twin)
    assert not ran


def test_pickle():
    model = build(
        dict(
            kd=dict(type='BPKD'),
            cwd=dict(STAGES, student='backbone[1:3]',
                     teacher='backbone[1:3]')))
    twin = pickle.loads(pickle.dumps(model))
    model.eval(), twin.eval()
    first, second = losses(model), losses(twin)
    assert {
        k: float(v)
        for k, v in first.items()
    } == {
        k: float(v)
        for k, v in second.items()
    }
    assert set(twin.state_dict()) == set(model.state_dict())


# --------------------------------------------------------------- checkpoints

# ------------------------------------------------------- what others expect


def test_attributes_of_the_student():
    model = build(
        dict(cwd=dict(type='CWD', place='neck')),
        detector(),
        dict(teacher=dict(cfg=detector(8), ckpt='random')),
        dry_run_size=(64, 64))
    assert model.bbox_head is model.student.bbox_head
    assert model.with_neck
    model.bbox_head.use_l1 = True
    assert model.student.bbox_head.use_l1
    assert not hasattr(model, 'decode_head')
    with pytest.raises(AttributeError, match='no_such_thing'):
        model.no_such_thing


def test_preprocessor_outside_of_the_model():
    model = segmentor()['model']
    outside = model.pop('data_preprocessor')
    built = build(
        student=dict(model, _scope_='mmseg'), data_preprocessor=outside)
    assert built.student.data_preprocessor.mean.flatten()[0] == 123.675
    whole = dict(default_scope='mmseg', model=model, data_preprocessor=outside)
    assert build(student=whole).student.data_preprocessor.pad_val == 0


def test_building_draws_the_random_numbers_of_plain_training():
    torch.manual_seed(3)
    plain = build_network(segmentor(), 'student')
    plain.init_weights()
    after = torch.rand(1)
    torch.manual_seed(3)
    model = build()
    model.init_weights()
    assert torch.rand(1) == after
    mine = model.student.state_dict()
    assert all(v.equal(mine[k]) for k, v in plain.state_dict().items())


def test_looking_leaves_the_student_as_it_is():
    """The dry run changes neither statistics nor counters."""
    network = build_network(segmentor(), 'student')
    network.seen = []
    network.register_forward_hook(lambda module, *_: module.seen.append(1))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    model = build(student=network)
    assert not network.seen and network.training
    assert all(v.equal(model.state_dict()[k]) for k, v in before.items())


# -------------------------------------------------------------------- errors


@pytest.mark.parametrize('kwargs, message', [
    (dict(teachers=[dict(cfg=segmentor())]), '`teachers` is a dict'),
    (dict(teachers=dict(student=dict(cfg=segmentor(), ckpt='random'))),
     "'student' cannot be a name in `teachers`"),
    (dict(distillers={'a.b': dict(type='CWD')}), "'a.b' cannot be a name"),
    (dict(distillers=dict(items=dict(type='CWD'))), "'items' cannot be"),
    (dict(distillers=dict(a=dict(tau=1.))), "'a' needs a `type`"),
    (dict(distillers=dict(a=dict(type='BPDK'))),
     "no method 'BPDK'.*mean BPKD.*Known: ACAM, .*BPKD, .*CWD, .*FGD"),
    (dict(distillers=dict(a=dict(type='CWD', taw=1.))),
     "CWD has no argument 'taw'. Did you mean tau"),
    (dict(teachers=dict(t=dict(cfg=segmentor(), ckpt='random', chkpt='x'))),
     "Teacher has no argument 'chkpt'. Did you mean ckpt"),
    (dict(teachers=dict(t=dict(ckpt='random'))), "missing.*'cfg'"),
    (dict(distillers=dict(a=dict(type='CWD', student='decode_haed.conv_seg'))),
     'no module .decode_haed.conv_seg.*mean decode_head.conv_seg'),
    (dict(distillers=dict(a=dict(type='CWD', student='t:neck'))),
     "student tap 't:neck' names another network"),
    (dict(distillers=dict(a=dict(type='CWD', place='neck'))),
     "no standard place for 'neck'.*mmkd taps"),
    (dict(teachers=dict()), "needs a teacher, but `teachers` is empty"),
    (dict(dry_run_size=(0, 64)), 'height and width in pixels'),
    (dict(
        teachers=dict(t=dict(cfg=segmentor(num_classes=7), ckpt='random'), ),
        distillers=dict(a=dict(type='CWD'))),
     "distiller 'a': CWD compares logits.*19 channels.*7"),
    (dict(distillers=dict(a=dict(type='CWD', place='stages', connector=None))),
     "distiller 'a': the student has 32 channels.*connector='auto'"),
])
def test_config_errors(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        build(**kwargs)


@pytest.mark.parametrize('student, message', [
    ('decode_head', "'decode_head' of the student never fired.*"
     'decode_head.conv_seg'),
    ('backbone[7]', r'there is no \[7\]'),
    ('auxiliary_head', None),
])
def test_tap_errors(student, message):
    with pytest.raises((TapError, ConfigError), match=message):
        build(dict(cwd=dict(type='CWD', student=student)))


def test_own_distiller_by_class_and_instance():

    @DISTILLERS.register_module()
    class Gap(Distiller):
        roles = ('stages', )

        def losses(self, student, teacher, batch):
            gap = (student['stages'][0].mean() - teacher['stages'][0].mean())
            return dict(loss=gap**2)

    try:
        taps = dict(student='backbone[0]', teacher='backbone[0]')
        for distiller in (dict(type='Gap', **taps), dict(type=Gap, **taps),
                          dict(type='mmkd.Gap', **taps), Gap(**taps)):
            assert losses(build(dict(gap=distiller)))['gap.loss'] >= 0
    finally:
        DISTILLERS.module_dict.pop('Gap')


def test_teacher_instances_and_bare_networks():
    network = build_network(segmentor(8), 'teacher')
    for teacher in (Teacher(network, name='guide'), dict(cfg=network)):
        model = build(teachers=dict(guide=teacher))
        assert model.teachers['guide'].name == 'guide'
        assert model.teachers['guide'].network is network
    with pytest.raises(ConfigError, match="'guide'.*the name 'teacher'"):
        build(teachers=dict(guide=Teacher(network)))
