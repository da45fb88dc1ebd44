import functools
import logging

import pytest
import torch
from torch import nn

from mmkd.core import fold, speed
from mmkd.core.model import DistillationModel
from mmkd.core.network import build_network
from mmkd.core.taps.dry_run import dry_run
from mmkd.core.taps.tap import Tap
from mmkd.core.teacher import Teacher
from mmkd.families import family_of
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor)
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator, values
from mmkd.testing.bev import BEV_RANGE, bev_detector
from mmkd.testing.examples import PLAIN
from mmkd.testing.lidar import centerpoint, lidar_batch, pointpillars
from mmkd.testing.networks import transformer_segmentor
from mmkd.utils.nested import clone

#: A network, a tap of features, and a batch.
NETWORKS = dict(
    segmentor=(segmentor, 'backbone', segmentation_batch),
    transformer=(transformer_segmentor, 'backbone', segmentation_batch),
    detector=(detector, 'neck', detection_batch),
    pointpillars=(pointpillars, 'neck', lidar_batch),
    centerpoint=(centerpoint, 'pts_neck',
                 functools.partial(lidar_batch, channels=5)))


def statistics(network):
    """Give batch normalisation values like those of a trained network."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for name, low, high in (('running_mean', -.3, .3), ('running_var',
                                                                .5, 2.),
                                    ('weight', .5, 1.5), ('bias', -.3, .3)):
                value = torch.empty(module.num_features)
                getattr(module, name).data = value.uniform_(
                    low, high, generator=generator)


@pytest.fixture(autouse=True)
def bfloat16(monkeypatch):
    """As on a device that computes in it; CPUs without it are only slow."""
    monkeypatch.setattr(speed, 'fast_dtype', lambda device: torch.bfloat16)


@pytest.fixture
def said(monkeypatch):
    found = []
    monkeypatch.setattr(
        speed,
        'print_log',
        lambda text, logger=None, level=logging.INFO: found.append(
            (level, text)))
    return found


def build(kind, monkeypatch, distiller=None, **teacher):
    """A model whose teacher is trained, as far as one can tell."""
    make, tap, _ = NETWORKS[kind]

    def trained(cfg, name):
        torch.manual_seed(0)
        network = build_network(cfg, name)
        statistics(network)
        return network

    monkeypatch.setattr('mmkd.core.teacher.build_untrained', trained)
    torch.manual_seed(1)
    distiller = distiller or dict(type='CWD', student=tap, teacher=tap)
    return DistillationModel(
        make(),
        dict(teacher=dict(cfg=make(), ckpt='random', **teacher)),
        dict(kd=distiller),
        dry_run_size=(64, 64))


def tapped(model, batch):
    """The teacher's tensors."""
    data = model.prepare_batch(batch, ['teacher'])
    _, teacher = model.observe(data)[0]['kd']
    return [x for levels in teacher.values() for x in levels]


@pytest.mark.parametrize('kind', NETWORKS)
def test_taps_stay_the_same(kind, monkeypatch, said):
    batch = NETWORKS[kind][2]()
    wanted = tapped(build(kind, monkeypatch, **PLAIN), batch)
    assert not said
    exact = build(kind, monkeypatch, precision=None)
    text = said.pop()[1]
    for got, want in zip(tapped(exact, batch), wanted):
        assert (got - want).norm() <= 1e-5 * want.norm()
        assert got.dtype == torch.float32
    network = exact.teachers['teacher'].network
    assert not any(p.requires_grad for p in network.parameters())
    assert not any(module.training for module in network.modules())
    assert 'channels_last' in text and 'bfloat16' not in text
    low = build(kind, monkeypatch)
    is_low = kind in ('segmentor', 'detector')
    assert ('bfloat16' in said.pop()[1]) == is_low
    for got, want in zip(tapped(low, batch), wanted):
        assert got.dtype == torch.float32
        assert ((got - want).norm() > 1e-4 * want.norm()) == is_low
        assert torch.cosine_similarity(got.flatten(), want.flatten(), 0) > .995


#: Each kind of network that the libraries' users distil most.
SIX = dict(
    retinanet='mmdet::retinanet/retinanet_r18_fpn_1x_coco.py',
    rtmdet='mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    yolox='mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',
    pspnet='mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py',
    segformer='mmseg::segformer/'
    'segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    pointpillars='mmdet3d::pointpillars/'
    'pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class.py')


@pytest.mark.parametrize('cfg', SIX.values(), ids=SIX)
def test_every_place_of_real_networks(cfg, said):
    torch.manual_seed(0)
    teacher = Teacher(cfg, ckpt='random', precision=None)
    statistics(teacher.network)
    family = family_of(teacher.network)
    names = [
        known.tap for place in family.places
        # Of the second, methods tap the student alone.
        if place != 'auxiliary_logits' and 'dense_features' not in place
        for known in family.taps(teacher.network, place)
    ]
    if 'rtmdet' in cfg:  # its levels share convolutions, not statistics
        names += [f'bbox_head.rtm_cls.{i}' for i in range(3)]
    taps = list(dict.fromkeys(Tap.parse(name) for name in names))
    run = dry_run(teacher.network, taps, 'x', teacher.trial_modes, (64, 64))
    batch = dict(run.batch, inputs=speed.noise(run.batch['inputs']))

    def extracted():
        found = teacher.extract(
            clone(batch['inputs']), batch['data_samples'], taps, run.counts)
        return [level for tap in taps for level in found[tap]]

    wanted = extracted()
    speed.speed_up(teacher, run.specs, run.counts, run.batch)
    assert 'folded' in said.pop()[1]
    for got, want in zip(extracted(), wanted):
        assert (got - want).norm() <= 1e-4 * want.norm()
    if isinstance(batch['inputs'], torch.Tensor):
        teacher.low_precision = torch.bfloat16
        for got, want in zip(extracted(), wanted):
            assert torch.cosine_similarity(got.flatten(), want.flatten(),
                                           0) > .99


def test_networks_may_write_into_their_input(monkeypatch, said):
    extract = Teacher.extract

    def writing(self, inputs, *args):
        found = extract(self, inputs, *args)
        inputs.zero_()
        return found

    monkeypatch.setattr(Teacher, 'extract', writing)
    build('segmentor', monkeypatch, precision=None)
    assert 'folded, channels_last' in said.pop()[1]


def test_scores_stay_in_float32(monkeypatch, said):
    for distiller in (dict(type='LogitsKD'),
                      dict(
                          type='CWD',
                          student='decode_head.convs',
                          teacher='decode_head.convs')):
        model = build('segmentor', monkeypatch, distiller)
        assert 'bfloat16' not in said.pop()[1]
        assert model.teachers['teacher'].low_precision is None


def test_automatic_precision_follows_amp(monkeypatch):
    teacher = build('detector', monkeypatch).teachers['teacher']
    assert teacher.low_precision == torch.bfloat16
    with teacher.autocast():  # for predictions
        assert not torch.is_autocast_enabled('cpu')
    with teacher.autocast(features=True):
        assert torch.is_autocast_enabled('cpu')
    with torch.autocast('cpu', torch.float16), teacher.autocast(features=True):
        assert torch.get_autocast_dtype('cpu') == torch.float16
    fixed = build('detector', monkeypatch, precision='fp32')
    with torch.autocast('cpu'), fixed.teachers['teacher'].autocast():
        assert not torch.is_autocast_enabled('cpu')


def test_attention_stays_in_float32_on_a_cpu(monkeypatch):
    for precision, dtype in (('auto', torch.float32), (None, torch.bfloat16),
                             ('fp16', torch.float16)):
        model = build('transformer', monkeypatch, precision=precision)
        teacher = model.teachers['teacher']
        with torch.autocast('cpu'):
            assert teacher.running_dtype() == dtype
        assert teacher.low_precision is None


def test_a_change_that_is_not_safe_is_undone(monkeypatch, said):

    def wrong(pair):
        return (nn.Parameter(pair.weight * 1.01, requires_grad=False),
                nn.Parameter(pair.norm.running_mean, requires_grad=False))

    monkeypatch.setattr(fold, '_folded', wrong)
    monkeypatch.setattr(speed, 'MAX_ERROR_LOW', 0.)
    batch = detection_batch()
    model = build('detector', monkeypatch, channels_last=False)
    (level, folding), (_, precision) = said
    assert level == logging.WARNING
    assert 'batch normalisations folded' in folding and 'neck' in folding
    assert 'not bfloat16' in precision
    plain = build('detector', monkeypatch, **PLAIN)
    for got, want in zip(tapped(model, batch), tapped(plain, batch)):
        assert torch.equal(got, want)


def test_an_operator_without_bfloat16(monkeypatch, said):
    forward = nn.MaxPool2d.forward

    def refuses(self, x):
        if torch.is_autocast_enabled('cpu'):
            raise RuntimeError('"pool" not implemented for bfloat16')
        return forward(self, x)

    monkeypatch.setattr(nn.MaxPool2d, 'forward', refuses)
    model = build('detector', monkeypatch)
    assert model.teachers['teacher'].low_precision is None
    assert 'not implemented for bfloat16' in said[0][1]
    assert 'folded' in said[1][1]


def test_a_built_network_keeps_its_weights(said):
    network = build_network(detector(), 'mine')
    state = {key: x.clone() for key, x in network.state_dict().items()}
    DistillationModel(
        detector(),
        dict(teacher=Teacher(network)),
        dict(kd=dict(type='CWD', place='neck')),
        dry_run_size=(64, 64))
    assert [text for _, text in said if 'bfloat16' in text]
    assert all(
        torch.equal(x, state[key]) for key, x in network.state_dict().items())
    assert all(x.is_contiguous() for x in network.state_dict().values())


def test_weights_as_loaded(monkeypatch):
    plain = build('detector', monkeypatch, **PLAIN).teachers['teacher']
    teacher = build('detector', monkeypatch).teachers['teacher']
    folded = set(teacher.network.state_dict())
    with teacher.as_loaded() as network:
        state = network.state_dict()
        wanted = plain.network.state_dict()
        assert set(state) == set(wanted) != folded
        assert all(torch.equal(state[key], wanted[key]) for key in wanted)
    assert set(teacher.network.state_dict()) == folded


def test_as_loaded_keeps_where_and_how_the_network_is_stored(monkeypatch):
    model = build('detector', monkeypatch)
    teacher = model.teachers['teacher']
    with PretendedAccelerator():
        model.to(DEVICE)
        before = dict(teacher.network.named_parameters())
        with teacher.as_loaded():
            pass
        after = dict(teacher.network.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[key] is before[key] for key in before)
    assert {p.device for p in after.values()} == {DEVICE}


def test_as_loaded_keeps_channels_last(monkeypatch):
    teacher = build('detector', monkeypatch).teachers['teacher']
    weight = teacher.network.backbone.layer1[0].conv1.weight
    with teacher.as_loaded() as network:
        assert network.backbone.layer1[0].conv1.weight is not weight
    assert teacher.network.backbone.layer1[0].conv1.weight is weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_the_student_alone_is_not_changed(monkeypatch):
    """With a weight of zero, its losses and random numbers are the same."""
    found = []
    for options in ({}, PLAIN):
        model = build(
            'segmentor', monkeypatch,
            dict(
                type='CWD',
                loss_weight=0.,
                student='backbone',
                teacher='backbone'), **options)
        torch.manual_seed(3)
        data = model.data_preprocessor(segmentation_batch(), True)
        losses = model.train()(**data, mode='loss')
        found.append([losses['student.decode.loss_ce'], torch.rand(1)])
    assert all(map(torch.equal, *found))


def test_sensors_in_birds_eye_view_stay_in_float32(said):
    """Depths and coordinates need more digits than bfloat16 has."""
    cfg = bev_detector(camera=True, lidar=True)
    DistillationModel(
        cfg, dict(teacher=dict(cfg=cfg, ckpt='random')),
        dict(
            kd=dict(
                type='UniDistill',
                path='fusion2camera',
                point_cloud_range=BEV_RANGE)))
    assert 'folded' in said[-1][1] and 'bfloat16' not in said[-1][1]


def student_losses(**options):
    torch.manual_seed(0)
    model = DistillationModel(
        segmentor(dropout_ratio=0),
        dict(teacher=dict(cfg=segmentor(), ckpt='random', **PLAIN)),
        dict(kd=dict(type='CWD', student='backbone', teacher='backbone')),
        dry_run_size=(64, 64),
        **options).train()
    data = model.data_preprocessor(segmentation_batch(), True)
    losses = model(**data, mode='loss')
    model.parse_losses(losses)[0].backward()
    return model, losses


def test_student_in_channels_last():
    plain, wanted = student_losses()
    fast, losses = student_losses(channels_last=True)
    assert fast.channels_last and not plain.channels_last
    weight = fast.student.backbone.layer1[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(losses, wanted, rtol=1e-4, atol=1e-5)
    for got, want in zip(fast.parameters(), plain.parameters()):
        torch.testing.assert_close(got, want)
        # Sums over batch normalisation of two images round visibly.
        assert (got.grad - want.grad).norm() <= 0.02 * want.grad.norm() + 1e-6


def test_student_that_channels_last_changes(monkeypatch, said):
    monkeypatch.setattr(speed, 'MAX_ERROR', -1.)
    model, _ = student_losses(channels_last=True)
    assert not model.channels_last
    level, text = said.pop()
    assert level == logging.WARNING and 'would change its taps' in text
    assert all(x.is_contiguous() for x in model.student.parameters())


def test_student_that_fails_the_check(monkeypatch, said):

    def fails(inputs, layout):
        raise RuntimeError('no such layout')

    monkeypatch.setattr(speed, 'in_layout', fails)
    model, _ = student_losses()
    assert not speed.student_in_channels_last(
        model.student, model.taps.student_taps(['kd']), model.taps.counts,
        dict(inputs=torch.rand(1, 3, 64, 64)))
    assert 'the check failed: RuntimeError: no such layout' in said.pop()[1]


def test_a_device_of_its_own():
    """Equal losses, and the model takes only the student along."""
    found = []
    for device in (None, 'cpu'):
        torch.manual_seed(0)
        with PretendedAccelerator() as accelerator:
            model = DistillationModel(
                detector(),
                dict(
                    teacher=dict(
                        cfg=detector(),
                        ckpt='random',
                        device=device,
                        precision=None)),
                dict(kd=dict(type='CWD', student='neck', teacher='neck')),
                dry_run_size=(64, 64)).train()
            model.to(DEVICE)
            data = model.data_preprocessor(detection_batch(2), True)
            found.append(values(model(**data, mode='loss')))
            assert not accelerator.refused
            weight = next(model.teachers['teacher'].network.parameters())
            assert weight.device == torch.device(device or DEVICE)
            assert next(model.student.parameters()).device == DEVICE
    torch.testing.assert_close(found[0], found[1])
