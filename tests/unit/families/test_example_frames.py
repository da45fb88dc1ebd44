"""Example frames of mmdet3d's families, and the networks that take them."""
import pytest
import torch

from mmkd.core.model import DistillationModel
from mmkd.core.network import build_network
from mmkd.families import example_frames, family_of
from mmkd.families.places import standard_taps
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator, values
from mmkd.testing.lidar import second
from mmkd.testing.point_kernels import KERNELS
from mmkd.utils.config import read_config

#: Families whose operators exist on a GPU only, with a method that fits.
GPU_ONLY = {
    'second/second_hv_secfpn_8xb6-80e_kitti-3d-3class': 'XRay',
    'centerpoint/centerpoint_voxel01_second_secfpn_8xb4-cyclic-20e_nus-3d':
    'XRay',
    'parta2/parta2_hv_secfpn_8xb2-cyclic-80e_kitti-3d-3class': 'PKD',
    'pv_rcnn/pv_rcnn_8xb2-80e_kitti-3d-3class': 'PKD',
    'sassd/sassd_8xb6-80e_kitti-3d-3class': 'XRay',
    'mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class':
    'PointDistiller',
    'votenet/votenet_8xb16_sunrgbd-3d': 'PointDistiller',
    '3dssd/3dssd_4xb4_kitti-3d-car': 'PointDistiller',
    'point_rcnn/point-rcnn_8xb2_kitti-3d-3class': 'PointDistiller',
    'paconv/paconv_ssg_8xb8-cosine-150e_s3dis-seg': 'PointDistiller'
}


@pytest.fixture(autouse=True)
def few_points(monkeypatch):
    monkeypatch.setattr(example_frames, '_NUM_POINTS', 600)


def model_of(path):
    return read_config(f'mmdet3d::{path}.py')


def thin(cfg):
    """A detector of mmdet3d for cameras, with a thin ResNet."""
    cfg.model.backbone = dict(
        type='mmdet.ResNet', depth=18, base_channels=4, stem_channels=4)
    cfg.model.neck.in_channels = [4, 8, 16, 32]
    return cfg


@pytest.mark.parametrize('path', [
    'fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d',
    'pgd/pgd_r101-caffe_fpn_head-gn_4xb3-4x_kitti-mono3d'
])
def test_a_single_camera(path):
    network = build_network(thin(model_of(path)), 'x')
    batch = family_of(network).example_batch(network, (64, 96))
    assert batch['inputs']['imgs'].shape == (1, 3, 64, 96)
    assert all(loss.isfinite()
               for loss in network(**batch, mode='loss').values())


def test_smoke():
    network = build_network(
        model_of('smoke/smoke_dla34_dlaneck_gn-all_4xb8-6x_kitti-mono3d'), 'x')
    batch = family_of(network).example_batch(network, (64, 96))
    assert network(**batch, mode='loss')['loss_cls'].isfinite()


def sparse(cfg):
    """With mmdet3d's own convolutions, which need a GPU."""
    cfg['model']['middle_encoder']['type'] = 'SparseEncoder'
    return cfg


def test_sparse_convolutions_of_a_gpu():
    """The stand-ins compute what mmkd's encoder does on a CPU."""
    torch.manual_seed(0)
    plain = build_network(second(), 'x').eval()
    network = build_network(sparse(second()), 'x').eval()
    network.load_state_dict(plain.state_dict())
    batch = family_of(plain).example_batch(plain, (128, 128))
    wanted = plain(**batch, mode='tensor')
    with PretendedAccelerator(KERNELS) as accelerator:
        network.to(DEVICE)
        batch = family_of(network).example_batch(network, (128, 128))
        found = network(**batch, mode='tensor')
        sum(x.mean() for xs in found for x in xs).backward()
    assert not accelerator.refused
    for levels, others in zip(found, wanted):
        for one, other in zip(levels, others):
            torch.testing.assert_close(values(one), other)
    weight = next(network.middle_encoder.parameters())
    sum(x.mean() for xs in wanted for x in xs).backward()
    torch.testing.assert_close(
        values(weight.grad),
        next(plain.middle_encoder.parameters()).grad)


def test_distilling_on_an_accelerator_only():
    with PretendedAccelerator(KERNELS) as accelerator:
        model = DistillationModel(
            sparse(second()),
            dict(teacher=dict(cfg=sparse(second(8)), ckpt='random')),
            dict(
                pd=dict(
                    type='PointDistiller', num_centres=8,
                    num_neighbours=4))).to(DEVICE)
        batch = family_of(model.student).example_batch(model.student, (8, 8))
        assert values(model(**batch, mode='loss')['pd.loss']) > 0
    assert not accelerator.refused


@pytest.mark.parametrize('path, nodes, shape', [
    ('votenet/votenet_8xb16_sunrgbd-3d', 'backbone[fp_features][-1]',
     (1, 256, 1024)),
    ('paconv/paconv_ssg_8xb8-cosine-150e_s3dis-seg',
     'backbone[sa_features][-1]', (1, 512, 16)),
])
def test_points(path, nodes, shape):
    cfg = model_of(path)
    network = build_network(cfg, 'x')
    assert standard_taps(network, 'nodes', 'x') == [nodes]
    caught = []
    network.backbone.register_forward_hook(
        lambda module, args, out: caught.append(out))
    with PretendedAccelerator(KERNELS) as accelerator:
        network.to(DEVICE)
        batch = family_of(network).example_batch(network, (128, 128))
        losses = network(**batch, mode='loss')
        assert all(values(x).isfinite().all() for x in losses.values())
    assert not accelerator.refused
    kind = nodes.split('[')[1][:-1]
    assert caught[0][kind][-1].shape == shape


def test_channels_of_points():
    for path, channels in (('votenet/votenet_8xb16_sunrgbd-3d', 4),
                           ('paconv/paconv_ssg_8xb8-cosine-150e_s3dis-seg',
                            9), ('dgcnn/dgcnn_4xb32-cosine-100e_s3dis-seg_'
                                 'test-area1', 9)):
        network = build_network(model_of(path), 'x')
        assert example_frames.point_channels(network) == channels


@pytest.mark.gpu
@pytest.mark.parametrize('path, method', GPU_ONLY.items())
def test_on_a_gpu(path, method):
    cfg = f'mmdet3d::{path}.py'
    model = DistillationModel(cfg, dict(t=dict(cfg=cfg, ckpt='random')),
                              dict(kd=dict(type=method))).cuda()
    batch = family_of(model.student).example_batch(model.student, (128, 128))
    total, _ = model.parse_losses(model(**batch, mode='loss'))
    total.backward()
    assert total.isfinite()
