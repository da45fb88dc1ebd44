import pytest
import torch

from mmkd.core.network import build_network
from mmkd.core.taps.dry_run import dry_run
from mmkd.core.taps.tap import Tap
from mmkd.errors import ConfigError
from mmkd.testing import bev_batch, bev_detector

SENSORS = {
    'camera': dict(camera=True),
    'lidar': dict(camera=False, lidar=True),
    'fusion': dict(camera=True, lidar=True)
}


def build(sensors='camera', **kwargs):
    torch.manual_seed(0)
    network = build_network(
        bev_detector(**SENSORS[sensors], **kwargs), 'the detector')
    network.init_weights()
    return network


def prepared(network, training=True, **kwargs):
    return network.data_preprocessor(bev_batch(**kwargs), training)


@pytest.mark.parametrize('sensors', SENSORS)
def test_maps_and_modes(sensors):
    network = build(sensors).train()
    batch = prepared(network)
    metas = [sample.metainfo for sample in batch['data_samples']]
    maps = network.extract_bev(batch['inputs'], metas)
    assert maps['low'].shape == (2, 8, 24, 32)
    assert [high.shape for high in maps['high']] == [(2, 16, 24, 32)]
    assert ('depth' in maps) == (sensors != 'lidar')
    losses = network(**batch, mode='loss')
    assert len(losses) == 4
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in network.parameters())
    network.eval()
    heads = network(**batch, mode='tensor')
    assert len(heads) == 2
    assert heads[1][0]['heatmap'].shape == (2, 2, 24, 32)
    found = network(**batch, mode='predict')
    for sample in found:
        boxes = sample.pred_instances_3d
        assert boxes.bboxes_3d.tensor.size(1) == 9
        assert len(boxes.scores_3d) and boxes.labels_3d.max() < 3


@pytest.mark.parametrize('sensors', SENSORS)
def test_learns_a_batch(sensors):
    network = build(sensors).train()
    batch = prepared(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    values = []
    for _ in range(25):
        copied = [sample.clone() for sample in batch['data_samples']]
        loss = sum(network.loss(batch['inputs'], copied).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < .5 * values[0]


def test_encoder_and_head_are_the_same_for_all_sensors():
    shapes = []
    for sensors in SENSORS:
        state = build(sensors).state_dict()
        shapes.append({
            key: value.shape
            for key, value in state.items()
            if key.startswith(('bev_', 'bbox_head'))
        })
    assert shapes[0] == shapes[1] == shapes[2] and len(shapes[0]) > 20


def test_camera_needs_no_points_to_predict():
    network = build('camera').eval()
    found = []
    for points in (None, ()):
        batch = prepared(network, False, points=points)
        assert ('points' in batch['inputs']) == (points is None)
        found.append(network(**batch, mode='predict'))
    for one, other in zip(*found):
        one, other = one.pred_instances_3d, other.pred_instances_3d
        assert one.scores_3d.equal(other.scores_3d)
        assert one.bboxes_3d.tensor.equal(other.bboxes_3d.tensor)


@pytest.mark.parametrize('sensors', ['lidar', 'fusion'])
def test_samples_without_points(sensors):
    network = build(sensors).train()
    batch = prepared(network, points=[200, 0])
    maps = network.extract_bev(batch['inputs'],
                               [x.metainfo for x in batch['data_samples']])
    assert maps['low'].size(0) == 2
    losses = network(**batch, mode='loss')
    assert all(value.isfinite() for value in losses.values())
    # None in the whole batch.
    batch = prepared(network, points=[0, 0])
    sum(network(**batch, mode='loss').values()).backward()
    gradients = [p.grad for p in network.parameters()]
    assert all(grad is not None for grad in gradients)
    assert all(grad.isfinite().all() for grad in gradients)
    network.eval()
    assert len(network(**batch, mode='predict')) == 2


def test_samples_without_boxes():
    network = build('camera').train()
    losses = network(**prepared(network, boxes=[0, 0]), mode='loss')
    assert all(value.isfinite() for value in losses.values())


def test_augmentation_of_the_scene_moves_the_features():
    network = build('camera').eval()
    batch = prepared(network, False)
    metas = [sample.metainfo for sample in batch['data_samples']]
    plain = network.extract_bev(batch['inputs'], metas)['low']
    flip = torch.diag(torch.tensor([1., -1, 1, 1])).double().numpy()
    flipped = network.extract_bev(
        batch['inputs'],
        [dict(meta, lidar_aug_matrix=flip) for meta in metas])['low']
    assert torch.allclose(flipped, plain.flip(2), atol=1e-5)


def test_depth_loss():
    network = build('camera', depth_loss_weight=2.).train()
    losses = network(**prepared(network), mode='loss')
    assert losses['loss_depth'] > 0
    losses['loss_depth'].backward()
    assert network.view_transform.depth_net.weight.grad.abs().sum() > 0
    assert network.bev_neck.deblocks[0][0].weight.grad is None
    with pytest.raises(ConfigError, match='depth_loss_weight=0'):
        network(**prepared(network, points=()), mode='loss')


def test_parts_that_make_no_detector():
    for key in ('view_transform', 'img_backbone'):
        with pytest.raises(ConfigError, match=f'there is no {key}'):
            build('camera', **{key: None})
    with pytest.raises(ConfigError, match='no sensor'):
        build('camera', img_backbone=None, view_transform=None)
    with pytest.raises(ConfigError, match='fusion_layer'):
        build('fusion', fusion_layer=None)
    with pytest.raises(ConfigError, match='needs a camera'):
        build('lidar', depth_loss_weight=1.)


def test_batch_without_a_sensor():
    network = build('fusion')
    with pytest.raises(ConfigError, match='LoadMultiViewImages'):
        network(**prepared(network, cameras=0), mode='loss')
    with pytest.raises(ConfigError, match='no voxels'):
        network(**prepared(network, points=()), mode='loss')


@pytest.mark.parametrize('sensors', SENSORS)
def test_dry_run(sensors):
    network = build(sensors)
    taps = [
        Tap.parse(tap) for tap in ('bev_backbone@input', 'bev_neck',
                                   'bbox_head.task_heads.1.heatmap')
    ]
    for modes, training in ((('loss', ), True), (('tensor', ), False)):
        found = dry_run(network, taps, 'x', modes, (32, 64), training=training)
        shapes = [[spec.shape for spec in found.specs[tap]] for tap in taps]
        assert shapes == [[(1, 8, 24, 32)], [(1, 16, 24, 32)],
                          [(1, 2, 24, 32)]]
        assert not found.writes_input
        # CenterHead's loss puts the sigmoid where the logits were.
        assert found.overwritten == ([taps[2]] if training else [])
