"""The heads of teachers, and which output of one head is which of another."""
import pytest
import torch

from mmkd.core.heads import match_heads
from mmkd.core.model import DistillationModel
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.families.detection_heads import HeadBranch
from mmkd.ops.operators import autocast
from mmkd.testing import detection_batch, detector
from mmkd.testing.networks import two_stage_detector


def spec(branch, task=None, level=0, shape=(1, 2, 4, 4)):
    return TapSpec(
        f'head.{branch}', shape, task=task, branch=branch, level=level)


def test_order_does_not_matter():
    own = [spec('heatmap', 0), spec('reg', 0), spec('heatmap', 1)]
    branches, places = match_heads('M', own, [own[2], own[0], own[1]])
    assert branches == [(0, 'heatmap', 0), (0, 'reg', 0), (1, 'heatmap', 0)]
    assert places == [1, 2, 0]


@pytest.mark.parametrize('teacher, message', [
    ([spec('heatmap', 0), TapSpec('neck', (1, 2, 4, 4))
      ], "'neck' of the teacher is no output of a CenterHead"),
    ([spec('heatmap', 0), spec('heatmap', 0)
      ], "two taps of the teacher give 'heatmap' of task 0"),
    ([spec('heatmap', 0), spec('reg', 1)
      ], "no tap of the teacher gives 'reg' of task 0"),
    ([spec('heatmap', 0),
      spec('reg', 0, shape=(1, 2, 8, 8))
      ], r"'reg' of task 0 has the shape \(2, 4, 4\) in the student"),
])
def test_heads_that_do_not_correspond(teacher, message):
    with pytest.raises(ConfigError, match=message):
        match_heads('M', [spec('heatmap', 0), spec('reg', 0)], teacher)


def test_branches_in_words():
    assert str(HeadBranch(1, 'dim')) == "'dim' of task 1"
    assert str(HeadBranch(None, 'cls_score', 2)) == "'cls_score' of level 2"


@pytest.mark.parametrize('network, distiller, layer', [
    (detector, dict(type='CrossKD', student_convs=0), 'bbox_head.retina_cls'),
    (two_stage_detector, dict(type='ND'), 'roi_head.bbox_head.fc_cls'),
])
@pytest.mark.parametrize('precision, amp, wanted', [
    ('bf16', None, torch.bfloat16),
    ('fp32', torch.bfloat16, torch.float32),
    (None, torch.bfloat16, torch.bfloat16),
    ('auto', None, torch.float32),
])
def test_a_teachers_head_has_its_precision(network, distiller, layer,
                                           precision, amp, wanted):
    """Also where a method runs it on other features or boxes."""
    torch.manual_seed(0)
    model = DistillationModel(
        network(4),
        dict(teacher=dict(cfg=network(4), ckpt='random', precision=precision)),
        dict(kd=distiller),
        dry_run_size=(64, 64)).train()
    found = []
    model.teachers['teacher'].network.get_submodule(
        layer).register_forward_hook(lambda module, args, output: found.append(
            (output.dtype, output.requires_grad)))
    with autocast('cpu', amp):
        losses = model(
            **model.data_preprocessor(detection_batch(), True), mode='loss')
    assert found and {dtype for dtype, _ in found} == {wanted}
    # The cross prediction of CrossKD passes gradients on.
    assert any(grad for _, grad in found) == (distiller['type'] == 'CrossKD')
    sum(x for name, x in losses.items() if 'kd.loss' in name).backward()
    assert all(p.grad is None or p.grad.isfinite().all()
               for p in model.parameters())
