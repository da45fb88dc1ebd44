"""What the outputs of 3D heads mean."""
import pytest
import torch
from mmengine.structures import InstanceData

from mmkd.core.network import build_network
from mmkd.families import family_of
from mmkd.families.detection_heads import HeadBranch, _total
from mmkd.ops.detection_heads import code_loss
from mmkd.testing.lidar import RANGE, centerpoint, lidar_batch
from tests.fixtures.scans import KINDS, data_of


def head_of(network):
    return family_of(network).detection_head(network)


def centre_maps(outputs):
    """What a CenterHead gave, by branch."""
    return {
        HeadBranch(i, name): x
        for i, (task, ) in enumerate(outputs)
        for name, x in task.items()
    }


def test_peaks_are_the_cells_of_centres():
    head = head_of(build_network(centerpoint(), 'x'))
    objects = [x.gt_instances_3d for x in data_of('center')['data_samples']]
    objects[1].labels_3d[:] = 2  # the second class of the second task
    tensors = centre_maps(head.head([torch.randn(2, 8, 16, 16)]))
    first, second = head.targets(objects, tensors)
    assert first.peaks.nonzero()[:, :2].tolist() == [[0, 0]] * 2
    assert second.peaks.nonzero()[:, :2].tolist() == [[1, 1]] * 2
    for target in (first, second):
        rows = target.peaks.any(1).flatten().nonzero().squeeze(1)
        assert rows.equal(target.positives.sort()[0])


def test_centre_maps_against_a_loop():
    """Regression at the cells of centres, as the head itself has them."""
    network = build_network(centerpoint(), 'x')
    head = head_of(network)
    maps = torch.randn(2, 8, 16, 16)
    tensors = centre_maps(network.pts_bbox_head([maps]))
    other = {key: x + torch.randn_like(x) for key, x in tensors.items()}
    objects = [x.gt_instances_3d for x in data_of('center')['data_samples']]
    found = 0.
    for k, (map_s, map_t, target) in enumerate(
            zip(
                head.maps(tensors), head.maps(other),
                head.targets(objects, tensors))):
        found += code_loss(map_s.reg[target.positives],
                           map_t.reg[target.positives], head.code_weights)
    expected, count = 0., 0
    for b, frame in enumerate(objects):
        for box in frame.bboxes_3d.tensor:  # all are cars, of the first task
            x = int((box[0] - RANGE[0]) / 1.)
            y = int((box[1] - RANGE[1]) / 1.)
            difference = [(tensors[key][b, :, y, x] -
                           other[key][b, :, y, x]).abs().sum() *
                          (.2 if key.name == 'vel' else 1) for key in tensors
                          if key.task == 0 and key.name != 'heatmap']
            expected += sum(difference)
            count += 1
    assert found.item() == pytest.approx((expected / count).item(), rel=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_the_head_s_own_loss(kind):
    """The same number as the head gives in training."""
    make, channels, box_size = KINDS[kind]
    network = build_network(make(), 'x').train()
    data = network.data_preprocessor(
        lidar_batch(channels=channels, box_size=box_size), True)
    head = head_of(network)
    feats = network.extract_feat(data['inputs'], [
        x.metainfo for x in data['data_samples']
    ])[1] if kind == 'center' else network.extract_feat(data['inputs'])
    samples = data['data_samples']
    outputs = head.head(feats)
    if kind == 'center':
        tensors = centre_maps(outputs)
    else:
        tensors = {
            HeadBranch(None, name, level): x
            for name, levels in zip(('cls_score', 'bbox_pred',
                                     'dir_cls_pred'), outputs)
            for level, x in enumerate(levels)
        }
    objects = [
        InstanceData(
            bboxes_3d=x.gt_instances_3d.bboxes_3d,
            labels_3d=x.gt_instances_3d.labels_3d) for x in samples
    ]
    kept = {key: x.clone() for key, x in tensors.items()}
    found = head.loss(tensors, objects, [x.metainfo for x in samples])
    assert all(torch.equal(x, tensors[key]) for key, x in kept.items())
    expected = head.head.loss(feats, samples)
    total = sum(
        sum(x) if isinstance(x, list) else x for x in expected.values())
    assert found.item() == pytest.approx(total.item(), rel=1e-5)
    # Boxes of a higher score are those that evaluation would give.
    metas = [x.metainfo for x in samples]
    everything = head.predict(tensors, metas, 0.)
    threshold = float(everything[0].scores_3d.median())
    fewer = head.predict(tensors, metas, threshold)
    kept = everything[0].scores_3d > threshold
    assert torch.equal(
        fewer[0].bboxes_3d.tensor[fewer[0].scores_3d > threshold],
        everything[0].bboxes_3d.tensor[kept])


def test_losses_of_a_head_are_numbers_or_lists():
    """FreeAnchor's are numbers, those of other anchor heads one a level."""
    one, two = torch.tensor(1.), torch.tensor(2.)
    assert _total([one, [two, two]]) == 5
