import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmkd.core.network import build_network
from mmkd.report.evaluation import (_flops, _nothing_found, _score_of_boxes,
                                    _segmentation, evaluate)
from mmkd.report.runs import read_run
from mmkd.testing import detection_batch
from mmkd.testing.lidar import lidar_batch, pointpillars, second
from mmkd.testing.networks import two_stage_detector


def test_a_run_of_mmseg(runs, tmp_path):
    run = read_run(runs[0])
    found = evaluate(run.config, run.checkpoint)
    assert found.metrics['mIoU'] == pytest.approx(
        np.mean(list(found.per_class.values())), abs=0.01)
    assert found.metrics['mIoU'] == run.validation['mIoU'].values[-1]
    assert list(found.images) == [0, 1]
    assert 0 <= min(found.images.values()) <= max(found.images.values()) <= 1
    assert found.cost.parameters > 0 and found.cost.flops > 0
    assert found.cost.latency > 0
    assert tuple(found.cost.input_size) == (3, 32, 64)


def test_pixels_by_size_of_region():
    truth = torch.zeros(1, 64, 64, dtype=torch.long)
    truth[:, :8, :8] = 1  # a small region in one that is medium
    found = truth.clone()
    found[:, :8, :4] = 0
    truth[:, -1] = 255
    sample = dict(gt_sem_seg=dict(data=truth), pred_sem_seg=dict(data=found))
    result = _segmentation(sample, 2)
    assert result['area'].tolist() == [64, 64 * 63 - 64, 0]
    assert result['right'].tolist() == [32, 64 * 63 - 64, 0]
    assert result['inter'].tolist() == [64 * 63 - 64, 32]
    assert result['union'].tolist() == [64 * 63 - 32, 64]


def test_score_of_boxes():
    truth = dict(
        bboxes=torch.tensor([[0., 0, 10, 10], [20, 20, 30, 30]]),
        labels=torch.tensor([0, 1]))
    found = dict(
        bboxes=torch.tensor([[0., 0, 10, 9], [20, 20, 30, 30], [0, 0, 9, 9]]),
        labels=torch.tensor([0, 0, 0]),
        scores=torch.tensor([.9, .8, .1]))
    sample = dict(gt_instances=truth, pred_instances=found)
    assert _score_of_boxes(sample) == pytest.approx(
        0.5)  # one of two, of two found
    nothing = {k: v[:0] for k, v in found.items()}
    sample = dict(gt_instances=truth, pred_instances=nothing)
    assert _score_of_boxes(sample) == 0


def test_metrics_of_a_detector_that_finds_nothing():
    CocoMetric = type('CocoMetric', (), {})
    metric = CocoMetric()
    metric.prefix, metric.metrics = 'coco', ['bbox', 'proposal']
    assert _nothing_found([object(), metric]) == {
        'coco/bbox_mAP': 0,
        'coco/bbox_mAP_50': 0,
        'coco/bbox_mAP_75': 0
    }


def test_multiply_adds_of_a_lidar_detector():
    data = lidar_batch(num_scans=1)
    dense, sparse = (
        build_network(Config(cfg), 'it').eval()
        for cfg in (pointpillars(), second()))
    flops, size = _flops(dense, data)
    assert size is None
    # At least the convolutions of the head, on the map that the neck gives.
    convolutions = []

    def count(module, args, output):
        taps = module.weight[0].numel()
        convolutions.append(taps * output.numel())

    for module in dense.bbox_head.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    dense.test_step(data)
    assert sum(convolutions) < flops < 1000 * sum(convolutions)
    assert _flops(sparse, lidar_batch(num_scans=1)) == (None, None)


def test_multiply_adds_of_two_stages():
    """Their forward pass reads the data samples."""
    data = detection_batch(num_images=1)
    found = []
    for embedding in (16, 32):
        cfg = Config(two_stage_detector(embedding=embedding))
        flops, size = _flops(build_network(cfg, 'it').eval(), data)
        assert size[0] == 3
        found.append(flops)
    assert 0 < found[0] < found[1]  # the second stage counts


def test_what_cannot_be_counted_is_left_out(monkeypatch):
    network = build_network(Config(two_stage_detector()), 'it').eval()

    def fail(*args, **kwargs):
        raise TypeError('not to be traced')

    monkeypatch.setattr(network, 'forward', fail)
    flops, size = _flops(network, detection_batch(num_images=1))
    assert flops is None and len(size) == 3
