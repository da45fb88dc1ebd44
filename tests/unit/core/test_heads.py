"""Which output of one head is which of another."""
import pytest

from mmkd.core.heads import match_heads
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.families.detection_heads import HeadBranch


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
