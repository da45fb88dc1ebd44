"""The modules that TransKD trains."""
import copy
import math

import pytest
import torch
from torch import nn

from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.transkd.distiller import TransKD
from mmkd.methods.transkd.modules import (CrossSelectiveFusion,
                                          EmbeddingAssistant, GlobalLocalMixer,
                                          SelectiveFusion)
from tests.fixtures.pyramids import (B0, B2, CONVS, LARGE, SMALL, pyramid, run,
                                     set_up, small, specs)


def count(module):
    return sum(p.numel() for p in module.parameters())


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
