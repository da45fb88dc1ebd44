"""X-Ray distillation, with centre heads and with anchor heads."""

import pytest
import torch
from mmengine.structures import InstanceData

from mmkd.core.model import DistillationModel
from mmkd.core.network import build_network
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.families.detection_heads import HeadBranch
from mmkd.families.objects_3d import true_objects
from mmkd.methods.xray.distiller import (XRay, _cells, _count_on_host,
                                         count_points, visible_objects)
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator, values
from mmkd.testing.examples import PLAIN
from mmkd.testing.lidar import RANGE, centerpoint, pointpillars
from tests.fixtures.scans import KINDS, data_of, losses_of, model_of


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
def test_objects_that_the_student_does_not_see_are_left_out(kind):
    model = model_of(kind, weights=dict(response=0))
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
        scores:
        [XRay(scores=scores, **own).weights[x].value for x in ('cls', 'reg')]
        for scores, own in (('squared', {}), ('focal',
                                              dict(weights=dict(reg=3.))))
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


def test_weight_of_active_cells():
    # Sparse2Dense's weights of 10 and 20 are in the loss.
    assert XRay().weights['emb'].value == .1
    assert XRay(embedding='active').weights['emb'].value == 1
    own = XRay(embedding='active', weights=dict(emb=.5))
    assert own.weights['emb'].value == .5


@pytest.mark.parametrize('kind', KINDS)
def test_detections_as_labels(kind, monkeypatch):
    truth = losses_of(model_of(kind), data_of(kind))
    task = sum(
        sum(value) if isinstance(value, list) else value
        for name, value in truth.items() if name.startswith('student.'))
    # Without detections, the labels stay as they are.
    losses = losses_of(
        model_of(kind, label_kd=True, response_score=2.), data_of(kind))
    assert losses['xray.loss_response'] == 0

    def shifted(self, head, outputs_t, objects, batch):
        found = [true_objects(x) for x in batch.data_samples]
        for sample in found:
            sample.bboxes_3d = sample.bboxes_3d.clone()
            sample.bboxes_3d.tensor[:, 2] += .5
        return found

    monkeypatch.setattr(XRay, 'with_detections', shifted)
    second, change = (
        losses_of(model_of(kind, label_kd=label_kd),
                  data_of(kind))['xray.loss_response']
        for label_kd in (False, True))
    assert change.item() == pytest.approx((second - task).item(), abs=1e-3)
    assert change.abs() > 1e-3


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
        model_of('center', width=8,
                 weights=dict(emb=0)).distillers.parameters())


def test_heads_that_differ_are_refused():
    teacher = centerpoint()
    teacher['model']['pts_bbox_head']['tasks'][0]['class_names'] = ['truck']
    student = dict(type='XRay')

    def build(cfg):
        return DistillationModel(
            centerpoint(), dict(teacher=dict(cfg=cfg, ckpt='random', **PLAIN)),
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


@pytest.mark.parametrize('kind, options', [('center', dict(scores='focal')),
                                           ('anchor', {})])
def test_a_device_is_not_waited_for(kind, options):
    """With detections of the teacher, of which some are left out."""
    model = model_of(kind, embedding='mask', response_score=0., **options)
    model.student.eval()
    data = data_of(kind)
    expected = losses_of(model, data)
    with PretendedAccelerator() as accelerator:
        losses_of(model.to(DEVICE), data)
        accelerator.waits.clear()  # constants are copied in the first step
        found = losses_of(model, data)
    assert not accelerator.refused
    assert not accelerator.own(accelerator.waits)
    for term in ('cls', 'reg', 'emb', 'response'):
        assert expected[f'xray.loss_{term}'] > 0
        assert values(found[f'xray.loss_{term}']).item() == pytest.approx(
            expected[f'xray.loss_{term}'].item(), rel=1e-5)


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
        assert _count_on_host(points, boxes).tolist() == expected.tolist()
        assert expected.any()
    for count in (count_points, _count_on_host):
        assert len(count(points, boxes[:0])) == 0
        assert count(points[:0], boxes).tolist() == [0] * len(boxes)


def test_cells_by_hand():
    bev = torch.tensor([[0., -8.], [15.9, 7.9], [1.2, -7.9], [99., 99.]])
    assert _cells(bev, RANGE, (16, 16)).tolist() == [0, 255, 1, 255]
