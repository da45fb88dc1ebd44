"""X-Ray distillation, with centre heads and with anchor heads."""
from copy import deepcopy

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.structures import InstanceData

from mmkd.core.model import DistillationModel
from mmkd.core.network import build_network
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.families.detection_heads import HeadBranch
from mmkd.methods.xray.distiller import (XRay, _cells, count_points,
                                         visible_objects)
from mmkd.methods.xray.losses import code_loss
from mmkd.testing.lidar import RANGE, centerpoint, lidar_batch, pointpillars

KINDS = dict(center=(centerpoint, 5, 9), anchor=(pointpillars, 4, 7))


def model_of(kind, width=4, **options):
    make = KINDS[kind][0]
    torch.manual_seed(0)
    return DistillationModel(
        student=make(),
        teachers=dict(
            teacher=dict(
                cfg=make(width),
                ckpt='random',
                input_map={'inputs.points': 'inputs.points_teacher'})),
        distillers=dict(xray=dict(type='XRay', **options))).train()


def data_of(kind, same=False, **options):
    """A batch whose boxes hold points, more of them for the teacher."""
    _, channels, box_size = KINDS[kind]
    data = lidar_batch(channels=channels, box_size=box_size, **options)
    generator = torch.Generator().manual_seed(1)
    student, teacher = [], []
    for points, sample in zip(data['inputs']['points'], data['data_samples']):
        boxes = sample.gt_instances_3d.bboxes_3d
        added = torch.rand((len(boxes), 40, channels), generator=generator)
        added[..., :3] = boxes.gravity_center[:, None] + added[..., :3] - .5
        own = torch.cat([points, added[:, :10].flatten(0, 1)])
        student.append(own)
        teacher.append(
            own if same else torch.cat([own, added[:, 10:].flatten(0, 1)]))
    data['inputs'] = dict(points=student, points_teacher=teacher)
    return data


def losses_of(model, data):
    return model(**model.data_preprocessor(deepcopy(data), True), mode='loss')


def head_of(network):
    return family_of(network).detection_head(network)


def centre_maps(outputs):
    """What a CenterHead gave, by branch."""
    return {
        HeadBranch(i, name): x
        for i, (task, ) in enumerate(outputs)
        for name, x in task.items()
    }


@pytest.mark.parametrize('kind', KINDS)
def test_one_step(kind):
    model = model_of(kind)
    before = {
        name: value.clone()
        for name, value in
        model.teachers['teacher'].network.state_dict().items()
    }
    weights = {
        name: value.detach().clone()
        for name, value in model.student.named_parameters()
    }
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=.01))
    log = model.train_step(data_of(kind), optimizer)
    terms = {k: v for k, v in log.items() if k.startswith('xray')}
    assert set(terms) == {
        f'xray.loss_{x}'
        for x in ('cls', 'reg', 'emb', 'response')
    }
    assert all(0 < value < float('inf') for value in terms.values())
    assert log['loss'].isfinite()
    teacher = model.teachers['teacher'].network
    assert not teacher.training
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in teacher.parameters())
    assert any(not torch.equal(value, weights[name])
               for name, value in model.student.named_parameters())


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('embedding', ['roi', 'mask', 'active'])
def test_equal_networks_on_equal_points(kind, embedding):
    model = model_of(kind, embedding=embedding)
    model.student.load_state_dict(
        model.teachers['teacher'].network.state_dict())
    model.student.eval()
    losses = losses_of(model, data_of(kind, same=True))
    for term in ('cls', 'reg', 'emb'):
        assert losses[f'xray.loss_{term}'] == 0, term


@pytest.mark.parametrize('kind', KINDS)
def test_switches(kind):
    model = model_of(kind, lambda_response=0, lambda_emb=0)
    losses = losses_of(model, data_of(kind))
    assert losses['xray.loss_response'] == losses['xray.loss_emb'] == 0
    assert losses['xray.loss_cls'] > 0 and losses['xray.loss_reg'] > 0
    assert not list(model.distillers.parameters())


@pytest.mark.parametrize('kind', KINDS)
def test_without_objects(kind):
    model = model_of(kind, lambda_response=0)
    losses = losses_of(model, data_of(kind, boxes=0))
    for term in ('cls', 'reg', 'emb'):
        loss = losses[f'xray.loss_{term}']
        assert loss == 0 and loss.requires_grad, term
    # The head's own loss has no objects to learn, and says so.
    losses = losses_of(model_of(kind), data_of(kind, boxes=0))
    assert losses['xray.loss_response'].isfinite()
    sum(losses[k].sum() for k in losses if k.startswith('xray')).backward()


@pytest.mark.parametrize('kind', KINDS)
def test_objects_that_the_student_does_not_see_are_left_out(kind):
    model = model_of(kind, lambda_response=0)
    data = data_of(kind)
    for i, points in enumerate(data['inputs']['points']):
        boxes = data['data_samples'][i].gt_instances_3d.bboxes_3d
        far = count_points(points, boxes)
        assert (far > 0).all()
        # Without the points in the boxes, for the student alone.
        keep = torch.ones(len(points), dtype=torch.bool)
        for box in range(len(boxes)):
            for j, point in enumerate(points):
                if count_points(point[None], boxes[box:box + 1])[0]:
                    keep[j] = False
        data['inputs']['points'][i] = points[keep]
    losses = losses_of(model, data)
    assert all(losses[f'xray.loss_{x}'] == 0 for x in ('cls', 'reg', 'emb'))


def test_focal_scores():
    """Sparse2Dense's losses of the head, with weights of their own."""
    assert {
        scores: [
            XRay(scores=scores, **own).weights[f'loss_{x}'].value
            for x in ('cls', 'reg')
        ]
        for scores, own in (('squared', {}), ('focal', dict(lambda_reg=3.)))
    } == dict(
        squared=[10., .2], focal=[1., 3.])
    model = model_of('center', scores='focal')
    model.student.load_state_dict(
        model.teachers['teacher'].network.state_dict())
    model.student.eval()
    data = data_of('center', same=True)
    losses = losses_of(model, data)
    # Soft targets leave something where the teacher is not sure.
    assert losses['xray.loss_cls'] > 0 == losses['xray.loss_reg']
    losses['xray.loss_cls'].backward()
    task = model.student.pts_bbox_head.task_heads
    assert task[0].heatmap[-1].weight.grad.abs().sum() > 0
    # All are cars, of the first task.
    assert task[1].heatmap[-1].weight.grad.abs().sum() == 0
    losses = losses_of(model, data_of('center', boxes=0))
    assert losses['xray.loss_cls'] == losses['xray.loss_reg'] == 0
    with pytest.raises(ConfigError, match="take scores='squared'"):
        model_of('anchor', scores='focal')


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


@pytest.mark.parametrize('kind', KINDS)
def test_order_of_the_taps_does_not_matter(kind):
    network = build_network(KINDS[kind][0](), 'x')
    taps = [x.tap for x in family_of(network).taps(network, 'head_maps')]
    found = [
        losses_of(model_of(kind, **options), data_of(kind))
        for options in ({}, dict(student=dict(head_maps=taps[::-1])),
                        dict(
                            student=dict(head_maps=taps[::-1]),
                            teacher=dict(head_maps=taps[1:] + taps[:1])))
    ]
    for losses in found[1:]:
        for term in ('cls', 'reg', 'response'):
            name = f'xray.loss_{term}'
            assert losses[name].item() == pytest.approx(
                found[0][name].item(), rel=1e-5), term
    with pytest.raises(ConfigError, match='the taps of the head lack'):
        losses_of(
            model_of(
                kind,
                student=dict(head_maps=taps[1:]),
                teacher=dict(head_maps=taps[1:])), data_of(kind))


def test_a_wider_teacher_needs_a_connector():
    model = model_of('center', width=8)
    assert [
        tuple(c.conv.weight.shape) for c in model.distillers['xray'].connectors
    ] == [(16, 8, 1, 1)]
    assert losses_of(model, data_of('center'))['xray.loss_emb'] > 0
    # Where the term is off, there is nothing to train.
    assert not list(
        model_of('center', width=8, lambda_emb=0).distillers.parameters())


def test_heads_that_differ_are_refused():
    teacher = centerpoint()
    teacher['model']['pts_bbox_head']['tasks'][0]['class_names'] = ['truck']
    student = dict(type='XRay')

    def build(cfg):
        return DistillationModel(centerpoint(),
                                 dict(teacher=dict(cfg=cfg, ckpt='random')),
                                 dict(xray=student))

    with pytest.raises(ConfigError, match="tasks.*'car'.*'truck'"):
        build(teacher)
    teacher = centerpoint()
    teacher['model']['data_preprocessor']['voxel_layer'][
        'point_cloud_range'] = [0., -8., -3., 16., 8., 2.]
    with pytest.raises(ConfigError, match='point_cloud_range'):
        build(teacher)
    with pytest.raises(ConfigError, match='CenterHead.*Anchor3DHead'):
        build(pointpillars())


def test_options_that_make_no_sense():
    for wrong in (dict(embedding='all'), dict(roi_size=0), dict(min_points=0),
                  dict(response='on'), dict(scores='huber')):
        with pytest.raises((ConfigError, TypeError)):
            XRay(**wrong)


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


def test_detections_come_in_front_of_the_truth():
    model = model_of('center')
    data = model.data_preprocessor(data_of('center'), True)
    _, _, batch = model.run_networks(data['step'], data)
    samples = batch.data_samples
    truth = samples[0].gt_instances_3d
    objects = [
        visible_objects(x.gt_instances_3d, points, 1)
        for x, points in zip(samples, batch.inputs['points'])
    ]
    box = truth.bboxes_3d.tensor[0]
    candidates = box.repeat(4, 1)
    candidates[1, 0] += 1.1  # another cell, with points
    candidates[2, 0] += 30.  # overlaps nothing
    candidates[3, 0] += 1.1
    candidates[3, 2] += 20  # no point of the student

    class Head:
        point_cloud_range = list(RANGE)

        def predict(self, tensors, metas, min_score):
            assert min_score == .6
            boxes = truth.bboxes_3d.new_box(candidates)
            return [
                InstanceData(
                    bboxes_3d=boxes,
                    scores_3d=torch.full((4, ), .9),
                    labels_3d=torch.zeros(4, dtype=torch.long))
            ] * 2

    found = model.distillers['xray'].with_detections(
        Head(), {HeadBranch(0, 'heatmap'): torch.zeros(2, 1, 16, 16)}, objects,
        batch)
    assert torch.equal(found[0].bboxes_3d.tensor[1:], truth.bboxes_3d.tensor)
    assert torch.equal(found[0].bboxes_3d.tensor[0], candidates[1])
    assert len(truth.bboxes_3d) == 2  # the data samples are as before


def test_points_in_boxes_are_those_of_mmdet3d():
    data = data_of('anchor')
    for points, sample in zip(data['inputs']['points'], data['data_samples']):
        boxes = sample.gt_instances_3d.bboxes_3d
        from mmdet3d.structures.ops import box_np_ops
        expected = box_np_ops.points_in_rbbox(points.numpy(),
                                              boxes.tensor.numpy()).sum(0)
        assert count_points(
            points, boxes, chunk=1).tolist() == (
                expected.tolist())
    assert len(count_points(points, boxes[:0])) == 0


def test_cells_by_hand():
    bev = torch.tensor([[0., -8.], [15.9, 7.9], [1.2, -7.9], [99., 99.]])
    assert _cells(bev, RANGE, (16, 16)).tolist() == [0, 255, 1, 255]
