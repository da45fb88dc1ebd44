# Copyright (c) mmkd contributors. All rights reserved.
"""Run mmcv's compiled operators and compare the results with known values.

This detects a broken build before training. Each check runs on the CPU,
forward and, if mmcv supports it, backward.
"""
import math

import torch
from mmcv.ops import (DeformConv2d, ModulatedDeformConv2d, RoIAlignRotated,
                      Voxelization, batched_nms, bbox_overlaps,
                      box_iou_rotated, nms, nms_rotated, points_in_boxes_cpu,
                      roi_align)


def close(got, want, tol=1e-4):
    got = torch.as_tensor(got, dtype=torch.float64)
    want = torch.as_tensor(want, dtype=torch.float64)
    assert got.shape == want.shape, (got.shape, want.shape)
    assert torch.allclose(got, want, atol=tol, rtol=tol), (got, want)


def check_nms():
    boxes = torch.tensor([[0., 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    dets, keep = nms(boxes, scores, 0.5)
    assert keep.tolist() == [0, 2], keep
    close(dets[:, 4], [0.9, 0.7])
    _, keep = batched_nms(boxes, scores, torch.tensor([0, 1, 0]),
                          dict(type='nms', iou_threshold=0.5))
    assert keep.tolist() == [0, 1, 2], keep
    # 9 x 9 of 100 + 100 - 81
    close(bbox_overlaps(boxes[:1], boxes[:2]), [[1, 81 / 119]])


def check_roi_align():
    ramp = torch.arange(8.).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    feat = ramp.clone().double().requires_grad_()
    rois = torch.tensor([[0., 1, 1, 5, 5]]).double()
    out = roi_align(feat, rois, (2, 2), 1.0, 2, 'avg', True)
    # bins are [1, 3] and [3, 5]; pixel centres lie at +0.5
    close(out[0, 0], [[1.5, 3.5], [1.5, 3.5]])
    out.sum().backward()
    close(feat.grad.sum(), 4.)
    feat = ramp.clone().double().requires_grad_()
    rois = torch.tensor([[0., 3.5, 3.5, 4, 4, 0]]).double()
    layer = RoIAlignRotated((2, 2), 1.0, 2, True, False)
    out = layer(feat, rois)
    close(out[0, 0], [[2., 4.], [2., 4.]])
    out.sum().backward()
    close(feat.grad.sum(), 4.)


def check_deform_conv():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 9, 7, dtype=torch.double, requires_grad=True)
    layer = DeformConv2d(4, 6, 3, padding=1).double()
    want = torch.nn.functional.conv2d(x, layer.weight, padding=1)
    offset = torch.zeros(2, 18, 9, 7, dtype=torch.double, requires_grad=True)
    out = layer(x, offset)
    close(out.detach(), want.detach())
    grad, = torch.autograd.grad(want.square().sum(), x)
    out.square().sum().backward()
    close(x.grad, grad)
    x.grad = None
    modulated = ModulatedDeformConv2d(4, 6, 3, padding=1).double()
    want = torch.nn.functional.conv2d(
        x, modulated.weight, modulated.bias, padding=1)
    mask = torch.ones(2, 9, 9, 7, dtype=torch.double)
    out = modulated(x, offset, mask)
    close(out.detach(), want.detach())
    grad, = torch.autograd.grad(want.square().sum(), x)
    out.square().sum().backward()
    close(x.grad, grad)


def check_rotated():
    boxes = torch.tensor([[0., 0, 4, 2, 0], [0, 0, 4, 2, math.pi / 2],
                          [10, 10, 2, 2, 0.3]])
    # a cross: 2 x 2 of 8 + 8 - 4
    close(
        box_iou_rotated(boxes, boxes),
        [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]])
    scores = torch.tensor([0.5, 0.9, 0.7])
    _, keep = nms_rotated(boxes, scores, 0.3)
    assert keep.tolist() == [1, 2], keep


def check_points():
    points = torch.tensor([[0.1, 0.1, 0.1, 1], [0.2, 0.3, 0.1, 2],
                           [1.5, 0.1, 0.1, 3], [9, 9, 9, 4]])
    layer = Voxelization([1, 1, 1], [0, 0, 0, 2, 2, 2], 3, 10)
    voxels, coors, count = layer(points)
    assert coors.tolist() == [[0, 0, 0], [0, 0, 1]], coors
    assert count.tolist() == [2, 1], count
    close(voxels[0, :, 3], [1, 2, 0])
    layer = Voxelization([1, 1, 1], [0, 0, 0, 2, 2, 2], -1)
    assert layer(points).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1],
                                      [-1, -1, -1]]
    boxes = torch.tensor([[[0., 0, 0, 1, 1, 1, 0]]])
    inside = points_in_boxes_cpu(points[None, :, :3], boxes)
    assert inside[0, :, 0].tolist() == [1, 1, 0, 0], inside


def main():
    for check in (check_nms, check_roi_align, check_deform_conv, check_rotated,
                  check_points):
        check()
        print(f'{check.__name__[6:]}: good')


if __name__ == '__main__':
    main()
