import copy
import math

import pytest
import torch
from torch import nn

from mmkd.core.distiller import StepBatch
from mmkd.core.model import DistillationModel
from mmkd.core.network import build_network
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.transkd.distiller import TransKD
from mmkd.methods.transkd.losses import (embedding_loss,
                                         hierarchical_context_loss)
from mmkd.methods.transkd.modules import (CrossSelectiveFusion,
                                          EmbeddingAssistant, GlobalLocalMixer,
                                          SelectiveFusion)
from mmkd.methods.transkd.pyramid import resize_tokens
from mmkd.ops.channel_wise import channel_wise_divergence
from mmkd.ops.divergences import kl_divergence
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor, transformer_segmentor)

B0, B2, LVT = (32, 64, 160, 256), (64, 128, 320, 512), (64, 64, 160, 256)
SMALL, LARGE = (4, 8, 12, 16), (8, 16, 24, 32)
CONVS = [(7, 4, 3)] + 3 * [(3, 2, 1)]
VARIANTS = ['base', 'gl', 'ea']


def count(module):
    return sum(p.numel() for p in module.parameters())


def pyramid(widths, size=(64, 96), num_images=2, seed=0, grad=False):
    """Random tensors of a pyramid of transformers, by role."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator).requires_grad_(grad)

    height, width = size
    patches = [draw(num_images, 3, height, width)]
    embeddings, stages = [], []
    for channels, (_, stride, _) in zip(widths, CONVS):
        height, width = -(-height // stride), -(-width // stride)
        embeddings.append(draw(num_images, height * width, channels))
        stages.append(draw(num_images, channels, height, width))
    return dict(
        embeddings=embeddings, stages=stages, patches=patches + stages[:-1])


def specs(tensors, side='student', **attributes):
    """What a dry run says of such tensors."""
    found = {
        role: [
            TapSpec(f'{role}[{i}]', tuple(tensor.shape))
            for i, tensor in enumerate(levels)
        ]
        for role, levels in tensors.items()
    }
    for spec in found.get('stages', []):
        spec.attributes.update(num_heads=[1, 2, 2, 4], **attributes)
    for spec, (kernel, stride,
               padding) in zip(found.get('patches', []), CONVS):
        spec.attributes.update(
            kernel_size=(kernel, ) * 2,
            stride=(stride, ) * 2,
            padding=(padding, ) * 2,
            dilation=(1, 1))
    return found


def set_up(student, teacher, **kwargs):
    distiller = TransKD(**kwargs)
    distiller.setup(specs(student), specs(teacher))
    return distiller.train()


def run(distiller, student, teacher):
    return distiller(student, teacher, StepBatch())


def small(num_images=2, **kwargs):
    """A small distiller with tensors of both sides."""
    student = pyramid(SMALL, num_images=num_images, grad=True)
    teacher = pyramid(LARGE, num_images=num_images, seed=1)
    return set_up(student, teacher, **kwargs), student, teacher


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


def test_parameter_counts():
    sizes = dict(size=(32, 32))
    student, teacher = pyramid(B0, **sizes), pyramid(B2, **sizes)
    for spec_kwargs, extra in (({}, 0), (dict(single_image_conv=True), 6144)):
        distiller = set_up(student, teacher, **spec_kwargs)
        assert count(distiller.fusion) == 644160 + extra
    # By stage, with the convolution for single images.
    stages = [
        count(distiller.fusion.reduce[i]) + count(distiller.fusion.project[i])
        for i in range(4)
    ]
    fuse = [count(fuse) for fuse in distiller.fusion.fuse] + [0]
    assert [a + b
            for a, b in zip(stages, fuse)] == [47552, 86592, 203712, 312448]
    assert [count(linear)
            for linear in distiller.alignment] == [2112, 8320, 51520, 131584]
    base = count(distiller) - 6144
    mixed = set_up(student, teacher, variant='gl', gl_heads=8)
    assert count(mixed.mixer) == 656130 == count(mixed) - base
    assisted = set_up(student, teacher, variant='ea')
    assert [count(a) - 2
            for a in assisted.assistants] == [9600, 37248, 185280, 738816]
    assert count(assisted) - base == 970952


def test_first_weights():
    distiller, *_ = small(variant='ea')
    for i, assistant in enumerate(distiller.assistants):
        assert assistant.aligned_weight.item() == pytest.approx(0.1 + 0.1 * i)
        assert assistant.own_weight.item() == pytest.approx(0.5 + 0.1 * i)
        conv = assistant.projection
        assert (conv.kernel_size[0], conv.stride[0],
                conv.padding[0]) == CONVS[i]
        assert assistant.norm.eps == 1e-5 and not conv.bias.any()
    first = distiller.assistants[0].projection.weight
    assert first.std().item() == pytest.approx(
        math.sqrt(2 / (7 * 7 * LARGE[0])), rel=0.1)
    mixer = small(variant='gl')[0].mixer
    assert mixer.num_heads == 4
    assert (mixer.global_weight, mixer.local_weight) == (0.5, 0.5)


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


def test_fusion_runs_from_coarse_to_fine():
    distiller, student, _ = small()
    distiller.eval()
    feats = student['stages']
    for i, output in enumerate(distiller.fusion(feats)):
        gradients = torch.autograd.grad(
            output.square().sum(), feats, retain_graph=True, allow_unused=True)
        reached = [g is not None and bool(g.any()) for g in gradients]
        assert reached == [j >= i for j in range(4)]


def test_fusion_hands_down_the_fused_map():
    distiller, student, _ = small()
    fusion = distiller.fusion.eval()
    before = fusion(student['stages'])
    with torch.no_grad():
        for parameter in fusion.project[2].parameters():
            parameter.mul_(3)
    after = fusion(student['stages'])
    for i in (0, 1, 3):
        assert torch.equal(before[i], after[i])
    assert not torch.allclose(before[2], after[2])


def test_selection():
    fuse = SelectiveFusion(8)
    own, above = torch.randn(3, 8, 5, 7), torch.randn(3, 8, 3, 4)
    nearest = nn.functional.interpolate(above, (5, 7))
    # Nearest, to the size of the finer map: row 4 of 5 is row 2 of 3.
    assert torch.equal(nearest[:, :, 4, 6], above[:, :, 2, 3])
    shares = fuse.weights(own, nearest)
    assert [s.shape for s in shares] == [(3, 8, 1, 1)] * 2
    assert torch.allclose(sum(shares), torch.ones(3, 8, 1, 1))
    assert torch.allclose(
        fuse(own, above), shares[0] * own + shares[1] * nearest, atol=1e-5)
    with torch.no_grad():
        for conv in (fuse.expand_own, fuse.expand_above):
            conv.weight.zero_()
            conv.bias.zero_()
    assert torch.allclose(fuse(own, above), (own + nearest) / 2, atol=1e-6)
    nn.init.constant_(fuse.expand_own.bias, 100.)
    assert torch.allclose(fuse(own, above), own)


def test_fusion_by_hand():
    # A single stage is a 1x1 and a 3x3 convolution, each normalised.
    fusion = CrossSelectiveFusion([3], [5], mid_channels=4)
    feat = torch.randn(2, 3, 4, 6)
    (reduce, norm), (project, last) = fusion.reduce[0], fusion.project[0]
    output, = fusion(feat[None])

    def normalised(maps):
        mean = maps.mean((0, 2, 3), keepdim=True)
        var = maps.var((0, 2, 3), unbiased=False, keepdim=True)
        return (maps - mean) / (var + 1e-5).sqrt()

    maps = normalised(
        torch.einsum('oi,nihw->nohw', reduce.weight[..., 0, 0], feat))
    maps = normalised(nn.functional.conv2d(maps, project.weight, padding=1))
    assert torch.allclose(output, maps, atol=1e-4)
    assert (norm.momentum, last.momentum) == (0.1, 0.1)
    assert reduce.bias is None and project.bias is None


class TestBatchOfOne:

    def test_norm_is_left_out_in_training(self):
        distiller, student, teacher = small(num_images=1)
        squeeze = distiller.fusion.fuse[0].squeeze
        pooled = torch.randn(1, 64, 1, 1)
        assert torch.equal(squeeze(pooled), squeeze.conv(pooled).relu())
        sum(run(distiller, student, teacher).values()).backward()
        assert all(p.grad is not None and p.grad.isfinite().all()
                   for p in distiller.parameters())
        assert not squeeze.norm.weight.grad.any()
        assert squeeze.norm.num_batches_tracked == 0
        squeeze.eval()
        nn.init.constant_(squeeze.norm.bias, 1.)
        expected = squeeze.norm(squeeze.conv(pooled)).relu()
        assert torch.equal(squeeze(pooled), expected)

    @pytest.mark.parametrize('training', [True, False])
    def test_convolution_of_the_released_code(self, training):
        distiller, *_ = small(num_images=1, single_image_conv=True)
        squeeze = distiller.fusion.fuse[0].squeeze.train(training)
        one, two = torch.randn(1, 64, 1, 1), torch.randn(2, 64, 1, 1)
        assert torch.equal(squeeze(one), squeeze.single(one).relu())
        state = copy.deepcopy(squeeze)
        assert torch.equal(squeeze(two), state.norm(state.conv(two)).relu())
        for pooled in (one, two):
            squeeze.zero_grad()
            squeeze(pooled).sum().backward()
            assert all(p.grad is not None for p in squeeze.parameters())

    def test_synchronised_norm_of_one_process(self):
        squeeze = small()[0].fusion.fuse[0].squeeze
        squeeze = nn.SyncBatchNorm.convert_sync_batchnorm(squeeze)
        assert isinstance(squeeze.norm, nn.SyncBatchNorm)
        pooled = torch.randn(1, 64, 1, 1)
        assert torch.equal(squeeze(pooled), squeeze.conv(pooled).relu())

    @pytest.mark.parametrize('norm', ['GN', None])
    def test_other_norms_do_not_care(self, norm):
        distiller, *_ = small(squeeze_norm=norm)
        squeeze = distiller.fusion.fuse[0].squeeze
        pooled = torch.randn(2, 64, 1, 1)
        assert torch.allclose(squeeze(pooled)[:1], squeeze(pooled[:1]))
        assert squeeze(pooled).any()


class TestGlobalLocalMixer:

    def test_without_both_branches(self):
        distiller, student, _ = small(variant='gl', gl_init=(0, 0))
        bias = distiller.alignment[3].bias
        aligned = distiller.align(student)[3]
        assert torch.equal(aligned, bias.expand_as(aligned))
        distiller.mixer.residual = True
        plain = distiller.alignment[3](student['embeddings'][3])
        assert torch.allclose(distiller.align(student)[3], plain)

    def test_only_the_last_stage_is_mixed(self):
        distiller, student, _ = small(variant='gl')
        aligned = distiller.align(student)
        for i in range(3):
            plain = distiller.alignment[i](student['embeddings'][i])
            assert torch.equal(aligned[i], plain)

    def test_order_of_tokens(self):
        mixer = GlobalLocalMixer(8, 2)
        tokens, order = torch.randn(2, 6, 8), torch.randperm(6)
        assert torch.allclose(
            mixer.attend(tokens)[:, order],
            mixer.attend(tokens[:, order]),
            atol=1e-6)
        assert not torch.allclose(
            mixer.convolve(tokens)[:, order],
            mixer.convolve(tokens[:, order]),
            atol=1e-3)
        # Three taps along the tokens: the ends do not see each other.
        moved = tokens.clone()
        moved[:, 3] += 1
        changed = (mixer.convolve(moved) != mixer.convolve(tokens)).any(2)
        assert changed.tolist() == [[False, False, True, True, True, False]
                                    ] * 2

    def test_formula(self):
        mixer = GlobalLocalMixer(8, 2, init=(0.3, 0.7), residual=True)
        tokens = torch.randn(2, 6, 8)
        query, key, value = mixer.qkv(tokens).split(8, dim=2)
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            scores = query[..., part] @ key[..., part].transpose(1, 2) / 2
            heads.append(scores.softmax(2) @ value[..., part])
        attended = mixer.proj(torch.cat(heads, 2))
        channels = tokens.transpose(1, 2)
        local = mixer.value(channels) * mixer.gate(channels).sigmoid()
        expected = 0.3 * attended + 0.7 * local.transpose(1, 2) + tokens
        assert torch.allclose(mixer(tokens), expected, atol=1e-5)

    def test_heads(self):
        assert small(variant='gl')[0].mixer.num_heads == 4
        assert small(variant='gl', gl_heads=2)[0].mixer.num_heads == 2
        with pytest.raises(ConfigError, match='gl_heads=3 does not divide'):
            small(variant='gl', gl_heads=3)
        student, teacher = pyramid(SMALL), pyramid(LARGE)
        unknown = specs(student)
        for spec in unknown['stages']:
            spec.attributes.clear()
        with pytest.raises(ConfigError, match='give `gl_heads`'):
            TransKD(variant='gl').setup(unknown, specs(teacher))


class TestEmbeddingAssistant:

    def test_weight_zero_is_base(self):
        distiller, student, teacher = small(
            variant='ea', ea_aligned_init=[1] * 4, ea_own_init=[0] * 4)
        plain = [
            linear(embedding) for linear, embedding in zip(
                distiller.alignment, student['embeddings'])
        ]
        assert all(map(torch.equal, distiller.align(student), plain))
        run(distiller, student, teacher)['embedding'].backward()
        assert all(a.own_weight.grad.any() for a in distiller.assistants)

    def test_gradient_reaches_the_stage_before(self):
        distiller, student, teacher = small(variant='ea')
        run(distiller, student, teacher)['embedding'].backward()
        assert all(stage.grad.any() for stage in student['stages'][:3])
        assert student['stages'][3].grad is None

    def test_formula(self):
        conv = dict(kernel_size=3, stride=2, padding=1)
        assistant = EmbeddingAssistant(3, 5, conv, 0.3, 0.6)
        patches, aligned = torch.randn(2, 3, 5, 6), torch.randn(2, 9, 5)
        maps = nn.functional.conv2d(
            patches,
            assistant.projection.weight,
            assistant.projection.bias,
            stride=2,
            padding=1)
        tokens = maps.permute(0, 2, 3, 1).reshape(2, 9, 5)
        mean = tokens.mean(2, keepdim=True)
        var = tokens.var(2, unbiased=False, keepdim=True)
        tokens = (tokens - mean) / (var + 1e-5).sqrt()
        assert torch.allclose(
            assistant(aligned, patches),
            0.3 * aligned + 0.6 * tokens,
            atol=1e-5)
        with pytest.raises(ValueError, match='9 tokens, the student has 1'):
            assistant(aligned[:, :1], patches)

    def test_geometry_is_the_students(self):
        # A stem of stride 2 with a kernel of 5.
        student, teacher = pyramid(SMALL, grad=True), pyramid(LARGE)
        found = specs(student)
        image = torch.randn(2, 3, 31, 47)
        student['patches'][0] = image
        found['patches'][0] = TapSpec(
            'stem',
            tuple(image.shape),
            attributes=dict(
                kernel_size=(5, 5),
                stride=(2, 2),
                padding=(2, 2),
                dilation=(1, 1)))
        distiller = TransKD(variant='ea')
        distiller.setup(found, specs(teacher))
        assert distiller.align(student)[0].shape == (2, 384, 8)

    def test_other_taps_are_refused(self):
        student, teacher = pyramid(SMALL), pyramid(LARGE)
        found = specs(student)
        found['patches'][1].attributes.clear()
        with pytest.raises(ConfigError, match='not the input of a conv'):
            TransKD(variant='ea').setup(found, specs(teacher))
        found['patches'].pop()
        with pytest.raises(ConfigError, match='3 level'):
            TransKD(variant='ea').setup(found, specs(teacher))


# ------------------------------------------------------ sizes and precisions


def test_resize_tokens():
    tokens = torch.randn(2, 6, 4)
    assert resize_tokens(tokens, (2, 3), (2, 3)) is tokens
    resized = resize_tokens(tokens, (2, 3), (4, 6))
    maps = tokens.reshape(2, 2, 3, 4).permute(0, 3, 1, 2)
    expected = nn.functional.interpolate(maps, (4, 6), mode='bilinear')
    assert torch.equal(
        resized.reshape(2, 4, 6, 4), expected.permute(0, 2, 3, 1))
    with pytest.raises(ValueError, match='6 tokens are no map of 3x3'):
        resize_tokens(tokens, (3, 3), (2, 3))


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


def test_height_and_width_must_be_known():
    student, teacher = pyramid(SMALL), pyramid(LARGE)
    tokens = dict(student, stages=student['embeddings'])
    with pytest.raises(ConfigError, match='maps .N, C, H, W.*tap the backb'):
        set_up(tokens, teacher)
    other = dict(teacher, stages=pyramid(LARGE, (32, 32))['stages'])
    with pytest.raises(ConfigError, match="teacher's tokens .*not known"):
        set_up(student, other)
    vector = dict(student, embeddings=[e[0] for e in student['embeddings']])
    with pytest.raises(ConfigError, match='embeddings are tokens'):
        set_up(vector, teacher)


@pytest.mark.parametrize('arguments, message', [
    (dict(variant='gl+ea'), 'variant is one of base, gl, ea'),
    (dict(feature_loss='mse'), 'feature_loss'),
    (dict(squeeze_norm='LN'), 'squeeze_norm'),
    (dict(embedding_weights=1.0), 'embedding_weights is a list'),
    (dict(embedding_weights=[1, 'a', 1, 1]), 'embedding_weights is a list'),
    (dict(embedding_weights=[1, 1, 1, -1]),
     'embedding_weights must be at least 0'),
    (dict(feature_weights=[]), 'feature_weights is a list'),
    (dict(gl_init=[1.0]), 'gl_init is two numbers'),
    (dict(feature_tau=0), 'feature_tau'),
    (dict(logits_tau=-1.), 'logits_tau'),
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
