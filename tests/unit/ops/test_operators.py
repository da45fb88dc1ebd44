import pytest
import torch
from mmcv.ops import DeformConv2dPack, nms, roi_align
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

from mmkd.core.teacher import Teacher
from mmkd.ops import operators as operators_module
from mmkd.ops.operators import autocast, use_float32_operators
from mmkd.testing import segmentor

BOXES = [[0., 0., 8., 8.], [0., 0., 8., 7.], [8., 8., 16., 16.]]


@pytest.fixture(autouse=True)
def operators():
    use_float32_operators()
    use_float32_operators()  # once is enough


def test_nms():
    boxes = torch.tensor(BOXES).bfloat16()
    scores = torch.tensor([.5, .75, .25]).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        found, kept = nms(boxes, scores, 0.5)
    assert kept.tolist() == [1, 2]
    assert found[:, 4].tolist() == [.75, .25]


def test_gradients():
    maps = torch.rand(1, 2, 8, 8).bfloat16().requires_grad_()
    rois = torch.tensor([[0., 1., 1., 7., 7.]])
    with torch.autocast('cpu', torch.bfloat16):
        pooled = roi_align(maps, rois, 4)
    assert pooled.dtype == torch.bfloat16
    pooled.sum().backward()
    assert maps.grad.dtype == torch.bfloat16
    reference = maps.detach().float().requires_grad_()
    expected = roi_align(reference, rois, 4)
    expected.sum().backward()
    assert torch.equal(pooled, expected.bfloat16())
    assert torch.equal(maps.grad, reference.grad.bfloat16())


def test_levels_of_a_detector():
    """mmdet writes the results of the levels into a tensor of their type."""
    extractor = SingleRoIExtractor(
        dict(type='RoIAlign', output_size=4, sampling_ratio=0), 2, [4, 8], 8)
    maps = [torch.rand(1, 2, size, size).bfloat16() for size in (16, 8)]
    rois = torch.tensor([[0., 1., 1., 7., 7.], [0., 0., 0., 31., 31.]])
    with torch.autocast('cpu', torch.bfloat16):
        found = extractor(maps, rois)
    expected = extractor([x.float() for x in maps], rois)
    assert torch.equal(found, expected.bfloat16())


def test_deformable_convolution():
    convolution = DeformConv2dPack(4, 4, 3, padding=1)
    maps = torch.rand(1, 4, 8, 8).bfloat16().requires_grad_()
    with torch.autocast('cpu', torch.bfloat16):
        convolution(maps).sum().backward()
    assert maps.grad.isfinite().all() and maps.grad.any()


def test_other_types_stay():
    maps = torch.rand(1, 2, 8, 8, dtype=torch.float64)
    rois = torch.tensor([[0., 1., 1., 7., 7.]], dtype=torch.float64)
    assert roi_align(maps, rois, 4).dtype == torch.float64


def test_autocast_prepares_the_operators(monkeypatch):
    """That of a teacher, too, which may run in it without AMP."""
    calls = []
    monkeypatch.setattr(operators_module, 'use_float32_operators',
                        lambda: calls.append(1))
    with autocast('cpu', None):
        assert not torch.is_autocast_enabled('cpu') and not calls
    with autocast('cpu', torch.bfloat16):
        assert torch.get_autocast_dtype('cpu') == torch.bfloat16
    assert len(calls) == 1
    teacher = Teacher(segmentor(), 'random', precision='bf16')
    with teacher.autocast():
        assert torch.get_autocast_dtype('cpu') == torch.bfloat16
    assert len(calls) == 2
