import torch
from torch import nn

from mmkd.core.network import build_network
from mmkd.families import family_of
from mmkd.families.classes import head_classes, pixel_labels
from mmkd.families.mmdet3d import MMDet3DFamily
from mmkd.testing import detector, segmentor


def test_segmentation():
    network = build_network(segmentor(auxiliary=True, num_classes=7), 'a')
    assert family_of(network).head_classes(network) == dict(
        decode_head=7, auxiliary_head=7)


def test_detection():
    network = build_network(detector(num_classes=3), 'a')
    assert head_classes(network) == dict(bbox_head=3)


def test_stages_tasks_and_other_heads():
    network = nn.Module()
    network.rpn_head = nn.Module()
    network.rpn_head.num_classes = 1
    network.roi_head = nn.Module()
    network.roi_head.bbox_head = nn.ModuleList([nn.Module(), nn.Module()])
    for head in network.roi_head.bbox_head:
        head.num_classes = 5
        head.loss_cls = nn.Module()
        head.loss_cls.num_classes = 9
    network.pts_bbox_head = nn.Module()
    network.pts_bbox_head.num_classes = [1, 2, 2]
    assert head_classes(network) == {
        'roi_head.bbox_head.0': 5,
        'roi_head.bbox_head.1': 5,
        'pts_bbox_head': 5
    }


def test_heads_of_mmdet3d():
    network = nn.Module()
    network.decode_head = nn.Module()
    network.decode_head.num_classes, network.decode_head.ignore_index = 20, 19
    network.roi_head = nn.Module()
    network.roi_head.bbox_head = nn.Module()
    network.roi_head.bbox_head.num_classes = 1
    assert MMDet3DFamily().head_classes(network) == dict(decode_head=19)
    network.decode_head.ignore_index = 20
    assert MMDet3DFamily().head_classes(network) == dict(decode_head=20)


def test_labels_of_pixels():
    head = torch.nn.Module()
    head.num_classes, head.out_channels = 2, 1
    model = torch.nn.Module()
    assert pixel_labels(model) is None
    model.decode_head = head
    assert pixel_labels(model) == 2
    last = torch.nn.Module()
    last.num_classes = 5
    model.decode_head = torch.nn.ModuleList([head, last])
    assert pixel_labels(model) == 5
