import copy

import pytest
import torch
from torch import nn

from mmkd.core.model import DistillationModel
from mmkd.core.network import build_network
from mmkd.errors import ConfigError
from mmkd.methods.transkd.distiller import TransKD
from mmkd.methods.transkd.losses import embedding_loss
from mmkd.methods.transkd.pyramid import resize_tokens
from mmkd.ops.channel_wise import channel_wise_divergence
from mmkd.ops.distances import hierarchical_context_loss
from mmkd.ops.divergences import kl_divergence
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor, transformer_segmentor)
from tests.fixtures.pyramids import (B0, B2, LARGE, LVT, SMALL, pyramid, run,
                                     set_up, small, specs)

VARIANTS = ['base', 'gl', 'ea']

# ----------------------------------------------------- shapes and parameters


@pytest.mark.parametrize('widths', [B0, LVT], ids=['b0', 'lvt'])
@pytest.mark.parametrize('size', [(128, 256), (133, 201), (64, 64)])
@pytest.mark.parametrize('variant', VARIANTS)
def test_shapes(widths, size, variant):
    student, teacher = pyramid(widths, size), pyramid(B2, size)
    if size == (133, 201):
        assert [tuple(s.shape[2:]) for s in student['stages']] == [(34, 51),
                                                                   (17, 26),
                                                                   (9, 13),
                                                                   (5, 7)]
    distiller = set_up(student, teacher, variant=variant)
    with torch.no_grad():
        outputs = distiller.fusion(student['stages'])
        aligned = distiller.align(student)
    assert [o.shape for o in outputs] == [f.shape for f in teacher['stages']]
    assert [a.shape
            for a in aligned] == [e.shape for e in teacher['embeddings']]


# -------------------------------------------------------------------- values


class Shift(nn.Module):

    def forward(self, feats):
        return [feat + 0.5 for feat in feats]


def test_constant_offset():
    # Four stages: 4 d^2 and (0.1 + 0.1 + 0.5 + 1) d^2.
    student = pyramid(SMALL)
    distiller = set_up(student, student)
    distiller.fusion = Shift()
    distiller.alignment = nn.ModuleList(nn.Identity() for _ in SMALL)
    teacher = {
        role: [tensor.clone() for tensor in levels]
        for role, levels in student.items()
    }
    teacher['embeddings'] = [e - 0.5 for e in teacher['embeddings']]
    losses = run(distiller, student, teacher)
    assert losses['feature'].item() == pytest.approx(1.0, rel=1e-4)
    assert losses['embedding'].item() == pytest.approx(0.425, rel=1e-4)


@pytest.mark.parametrize('variant', VARIANTS)
def test_is_its_losses(variant):
    distiller, student, teacher = small(
        variant=variant, weights=dict(feature=2.0))
    distiller.eval()
    losses = run(distiller, student, teacher)
    feature = sum(
        hierarchical_context_loss(*pair) for pair in zip(
            distiller.fusion(student['stages']), teacher['stages']))
    embedding = sum(alpha * embedding_loss(*pair) for alpha, *pair in zip((
        0.1, 0.1, 0.5, 1.0), distiller.align(student), teacher['embeddings']))
    assert torch.allclose(losses['feature'], 2 * feature)
    assert torch.allclose(losses['embedding'], embedding)


def test_other_feature_losses():
    for name, loss in (('cwd', channel_wise_divergence), ('pixel_kl',
                                                          kl_divergence)):
        distiller, student, teacher = small(
            feature_loss=name, feature_tau=2.0, feature_weights=[1, 0, 2, 1])
        distiller.eval()
        value = run(distiller, student, teacher)['feature']
        outputs = distiller.fusion(student['stages'])
        stages = [
            loss(o, f, 2.0).item() for o, f in zip(outputs, teacher['stages'])
        ]
        assert value.item() == pytest.approx(
            stages[0] + 2 * stages[2] + stages[3], rel=1e-5)


def test_logits():
    student, teacher = pyramid(SMALL, grad=True), pyramid(LARGE, seed=1)
    student['logits'] = [torch.randn(2, 5, 8, 12, requires_grad=True)]
    teacher['logits'] = [torch.randn(2, 5, 4, 6)]
    distiller = set_up(
        student, teacher, weights=dict(logits=dict(value=3.0)), logits_tau=2.0)
    assert distiller.roles == ('embeddings', 'stages', 'logits')
    loss = run(distiller, student, teacher)['logits']
    resized = nn.functional.interpolate(
        teacher['logits'][0], (8, 12), mode='bilinear')
    assert torch.allclose(
        loss, 3 * kl_divergence(student['logits'][0], resized, 2.0))
    teacher['logits'] = [torch.randn(2, 6, 4, 6)]
    with pytest.raises(ConfigError, match='same classes'):
        set_up(student, teacher, weights=dict(logits=1.0))
    # The published method has no such term, and reads no logits.
    plain = TransKD(variant='ea')
    assert plain.roles == ('embeddings', 'stages', 'patches')
    assert plain.teacher_roles == ('embeddings', 'stages')
    assert set(plain.weights) == {'feature', 'embedding'}


@pytest.mark.parametrize('stage', range(4))
def test_weight_of_a_stage(stage):
    distiller, student, teacher = small()
    whole = run(distiller, student, teacher)['embedding']
    single = embedding_loss(
        distiller.align(student)[stage], teacher['embeddings'][stage])
    weights = list(distiller.embedding_weights)
    distiller.embedding_weights = [
        0 if i == stage else weight for i, weight in enumerate(weights)
    ]
    rest = run(distiller, student, teacher)['embedding']
    assert (whole - rest).item() == pytest.approx(
        weights[stage] * single.item(), rel=1e-4)
    rest.backward()
    for i, (embedding, linear) in enumerate(
            zip(student['embeddings'], distiller.alignment)):
        # A stage without weight stays in the graph, with a gradient of 0.
        assert linear.weight.grad is not None
        assert bool(linear.weight.grad.any()) == (i != stage)
        assert bool(embedding.grad.any()) == (i != stage)


# ------------------------------------------------------------------- modules

# ------------------------------------------------------ sizes and precisions


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('size', [(32, 48), (128, 192), (70, 90)])
def test_teacher_of_another_size(variant, size):
    student, teacher = pyramid(SMALL, grad=True), pyramid(LARGE, size, seed=1)
    distiller = set_up(student, teacher, variant=variant)
    losses = run(distiller, student, teacher)
    assert all(loss.shape == () and 0 < loss < 100 for loss in losses.values())
    expected = sum(
        alpha * embedding_loss(
            resize_tokens(aligned, s.shape[2:], t.shape[2:]), embedding)
        for alpha, aligned, s, t, embedding in zip(
            distiller.embedding_weights, distiller.align(student),
            student['stages'], teacher['stages'], teacher['embeddings']))
    assert torch.allclose(losses['embedding'], expected)


def test_embeddings_as_maps():
    # A tap in front of the norm, as the released code has for LVT.
    distiller, student, teacher = small()
    expected = run(distiller, student, teacher)['embedding']
    for tensors in (student, teacher):
        tensors['embeddings'] = [
            tokens.transpose(1, 2).reshape(2, -1, *stage.shape[2:])
            for tokens, stage in zip(tensors['embeddings'], tensors['stages'])
        ]
    fresh = TransKD()
    fresh.setup(specs(student), specs(teacher))
    fresh.load_state_dict(distiller.state_dict())
    assert torch.allclose(run(fresh, student, teacher)['embedding'], expected)


@pytest.mark.parametrize('variant', VARIANTS)
def test_same_widths_keep_the_modules(variant):
    student, teacher = pyramid(SMALL, grad=True), pyramid(SMALL, seed=1)
    distiller = set_up(student, teacher, variant=variant)
    assert all(isinstance(linear, nn.Linear) for linear in distiller.alignment)
    sum(run(distiller, student, teacher).values()).backward()
    assert all(p.grad.any() for p in distiller.alignment.parameters())


@pytest.mark.parametrize('variant', VARIANTS)
def test_mixed_precision(variant):
    distiller, student, teacher = small(variant=variant)
    expected = run(distiller, student, teacher)
    with torch.autocast('cpu', torch.bfloat16):
        losses = run(distiller, student, teacher)
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(expected[name].item(), rel=0.02)
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in distiller.parameters())


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('num_images', [1, 2])
def test_gradients(variant, num_images):
    distiller, student, teacher = small(num_images, variant=variant)
    for levels in teacher.values():
        for tensor in levels:
            tensor.requires_grad_()
    sum(run(distiller, student, teacher).values()).backward()
    assert all(p.grad is not None for p in distiller.parameters())
    assert all(e.grad.any() for e in student['embeddings'])
    assert all(s.grad.any() for s in student['stages'])
    assert all(tensor.grad is None for levels in teacher.values()
               for tensor in levels)


@pytest.mark.parametrize('term', ['feature', 'embedding'])
def test_weight_zero_leaves_a_term_out(term, monkeypatch):

    def fail(*args):
        raise AssertionError('computed for nothing')

    monkeypatch.setattr(f'mmkd.methods.transkd.TransKD._{term}_loss', fail)
    distiller, student, teacher = small(weights={term: 0.})
    losses = run(distiller, student, teacher)
    assert losses.pop(term).item() == 0
    assert next(iter(losses.values())) > 0


# ------------------------------------------------------------------ refusals


def test_number_of_stages():
    student, teacher = pyramid(SMALL), pyramid(LARGE)
    fewer = {role: levels[:3] for role, levels in student.items()}
    with pytest.raises(ConfigError, match='3 level.*4 in the teacher'):
        set_up(fewer, teacher)
    coarser = {role: levels[:3] for role, levels in teacher.items()}
    with pytest.raises(
            ConfigError, match='embedding_weights has 4 .*3 stages'):
        set_up(fewer, coarser)
    with pytest.raises(ConfigError, match='ea_own_init has 4 .*3 stages'):
        set_up(
            fewer,
            coarser,
            variant='ea',
            embedding_weights=[1] * 3,
            ea_aligned_init=[1] * 3)
    losses = run(
        set_up(fewer, coarser, embedding_weights=[1] * 3), fewer, coarser)
    assert all(loss > 0 for loss in losses.values())
    missing = dict(student, stages=student['stages'][1:])
    with pytest.raises(
            ConfigError,
            match=r'student has 4 .* 3 stage map.*that of embeddings\[0\]\. '):
        set_up(missing, teacher)


@pytest.mark.parametrize('arguments, message', [
    (dict(weights=dict(feature='high')), 'weight'),
    (dict(weights=dict(logits=-1)), 'weight'),
    (dict(student='backbone'), 'several places'),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        TransKD(**arguments)


# -------------------------------------------------------------- whole models


def build(student=None, teacher=None, **kwargs):
    return DistillationModel(
        student=student or transformer_segmentor(4),
        teachers=dict(
            teacher=dict(
                cfg=teacher or transformer_segmentor(8), ckpt='random')),
        distillers=dict(transkd=dict(type='TransKD', **kwargs)),
        dry_run_size=(32, 64)).train()


@pytest.mark.parametrize('kind', ['mit', 'pvt'])
@pytest.mark.parametrize('variant', VARIANTS)
def test_one_step(kind, variant):
    model = build(
        transformer_segmentor(4, kind=kind),
        transformer_segmentor(8, kind=kind),
        variant=variant)
    teacher = model.teachers['teacher'].network
    frozen = copy.deepcopy(teacher.state_dict())
    before = copy.deepcopy(model.state_dict())
    data = model.data_preprocessor(segmentation_batch(), True)
    total, log = model.parse_losses(model(**data, mode='loss'))
    for term in ('feature', 'embedding'):
        loss = log[f'transkd.loss_{term}']
        assert loss > 0 and loss.isfinite() and loss.dtype == torch.float32
    total.backward()
    assert all(p.grad is not None for p in model.parameters())
    torch.optim.SGD(model.parameters(), 0.01).step()
    moved = {
        key
        for key, value in model.state_dict().items()
        if not torch.equal(value, before[key])
    }
    assert 'backbone.layers.0.0.projection.weight' in moved
    assert 'distill.transkd.alignment.0.weight' in moved
    # The student under its own names; the modules of the method beside it.
    plain = {key for key in before if not key.startswith('distill.')}
    assert plain == set(model.student.state_dict())
    assert not teacher.training
    assert all(p.grad is None for p in teacher.parameters())
    assert all(
        torch.equal(value, frozen[key])
        for key, value in teacher.state_dict().items())


@pytest.mark.parametrize('variant', VARIANTS)
def test_student_computes_what_it_did(variant):
    """Nothing is added to the student: the same task loss and scores."""
    student = build_network(transformer_segmentor(4), 's').train()
    model = build(copy.deepcopy(student), variant=variant)
    data = model.data_preprocessor(segmentation_batch(), True)
    torch.manual_seed(3)
    expected = student(data['inputs'], data['data_samples'], mode='loss')
    torch.manual_seed(3)
    losses = model(**data, mode='loss')
    for key, value in expected.items():
        assert torch.equal(losses[f'student.{key}'], value)
    # The method reads no labels, so ignored and absent classes do not matter.
    for sample in data['data_samples']:
        sample.gt_sem_seg.data.fill_(255)
    torch.manual_seed(3)
    ignored = model(**data, mode='loss')
    for key in ('transkd.loss_feature', 'transkd.loss_embedding'):
        assert torch.allclose(ignored[key], losses[key], rtol=1e-4)
    student.load_state_dict(model.student.state_dict())
    with torch.no_grad():
        assert torch.equal(model.eval()(data['inputs'], mode='tensor'),
                           student.eval()(data['inputs'], mode='tensor'))


def test_detectors():

    def pvt_detector(width):
        config = detector()
        config['model']['backbone'] = dict(
            type='PyramidVisionTransformerV2',
            embed_dims=width,
            num_layers=[1] * 4)
        config['model']['neck']['in_channels'] = [
            width * times for times in (1, 2, 5, 8)
        ]
        return config

    model = build(pvt_detector(4), pvt_detector(8), variant='ea')
    losses = model(
        **model.data_preprocessor(detection_batch(size=(70, 90)), True),
        mode='loss')
    # The backbone is read, not the neck above it.
    assert [
        conv.out_channels
        for conv, _ in model.distillers['transkd'].fusion.project
    ] == [8, 16, 40, 64]
    assert losses['transkd.loss_feature'] > 0
    total, _ = model.parse_losses(losses)
    total.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_scale_of_random_networks():
    # O is normalised and F too: 2 at full resolution, less when pooled.
    model = build(
        transformer_segmentor(32, size=(64, 128)),
        transformer_segmentor(64, size=(64, 128)))
    batch = segmentation_batch(size=(64, 128))
    caught = []
    fusion = model.distillers['transkd']
    whole = fusion.align
    fusion.align = lambda student: caught.append(whole(student)) or caught[-1]
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert 3.8 < losses['transkd.loss_feature'] < 6
    # Each embedding about 1.3, so 1.7 times that.
    assert 1.1 * 1.7 < losses['transkd.loss_embedding'] < 1.6 * 1.7
    assert [tokens.shape[1:]
            for tokens in caught[0]] == [(512, 64), (128, 128), (32, 320),
                                         (8, 512)]


def test_networks_without_a_pyramid_of_transformers():
    with pytest.raises(ConfigError, match="no standard place for 'embedd"):
        build(segmentor(4))
    student = transformer_segmentor(4)
    student['model']['backbone']['out_indices'] = (1, 2, 3)
    student['model']['decode_head'].update(
        in_channels=[8, 20, 32], in_index=[0, 1, 2])
    with pytest.raises(
            ConfigError,
            match=r"distiller 'transkd'.*no map is that of "
            r'backbone\.layers\.0\.0\[0\]\. .*out_indices'):
        build(student)


def test_taps_can_be_named():
    places = dict(
        stages='backbone[2:4]',
        embeddings=['backbone.layers.2.0[0]', 'backbone.layers.3.0[0]'])
    model = DistillationModel(
        student=transformer_segmentor(4),
        teachers=dict(
            teacher=dict(cfg=transformer_segmentor(8), ckpt='random')),
        distillers=dict(
            transkd=dict(
                type='TransKD',
                student=places,
                teacher=places,
                embedding_weights=[1, 1])),
        dry_run_size=(32, 64))
    assert [
        linear.in_features for linear in model.distillers['transkd'].alignment
    ] == [20, 32]
