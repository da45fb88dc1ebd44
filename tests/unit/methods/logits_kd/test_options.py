import pytest
import torch

from mmkd.core.schedule import Progress
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.logits_kd.distiller import LogitsKD
from mmkd.methods.logits_kd.options import build_aux_head, read_share, share_at


@pytest.mark.parametrize('options, message', [
    (dict(reduction='avg_factor'), 'reduction of .logits. is image or row'),
    (dict(place='roi_logits', reduction='image'), 'is row, not .image.'),
    (dict(foreground_only=True), 'foreground_only is not for place=.logits.'),
    (dict(place='class_maps', valid_only=True), 'valid_only is not for'),
    (dict(place='roi_logits', aux_head=True), 'aux_head is not for'),
    (dict(divergence='dist', reduction='row'), 'reduction is not for .dist.'),
    (dict(divergence='sinkhorn', cell_weights=len), 'cell_weights is not'),
    (dict(
        place='dense_logits',
        divergence=dict(type='dist', anchors=9),
        valid_only=True), "leave out anchors of 'dist'"),
    (dict(teacher_share=1.5), 'teacher_share is 0 to 1.*1.5'),
    (dict(teacher_share=-1), 'teacher_share: .*at least 0'),
    (dict(place='neck'), 'place is one of logits, dense_logits, roi_logits'),
])
def test_refused_options(options, message):
    with pytest.raises(ConfigError, match=message):
        LogitsKD(**options)


def test_share_of_the_teacher():
    share = read_share(dict(value=0.4, final=1., decay='linear'))
    assert [share_at(share, Progress(x, 100))
            for x in (0, 50, 100)] == pytest.approx([0.4, 0.7, 1.])
    # Outside of a run.
    assert share_at(share, Progress()) == 1


def test_aux_head_of_several_levels():
    specs = [TapSpec('x', (1, 4, 8, 8)), TapSpec('x', (1, 4, 4, 4))]
    head = build_aux_head(specs, [TapSpec('y', (1, 6, 8, 8))] * 2, 3)
    assert head(torch.zeros(2, 4, 5, 7)).shape == (2, 6, 5, 7)
    specs[1] = TapSpec('x', (1, 5, 4, 4))
    with pytest.raises(ConfigError, match='as many channels in all levels'):
        build_aux_head(specs, [TapSpec('y', (1, 6, 8, 8))] * 2, 3)
