"""What is known of a tap, given by a config or by a standard place."""
import pytest
import torch

from mmkd.core.network import build_network
from mmkd.core.taps.dry_run import dry_run
from mmkd.core.taps.recognise import recognise
from mmkd.core.taps.tap import Tap
from mmkd.families import family_of
from mmkd.testing import detector, segmentor
from mmkd.testing.lidar import centerpoint, pointpillars


def specs(network, taps):
    taps = [Tap.parse(tap) for tap in taps]
    run = dry_run(network, taps, 'x', ('loss', 'tensor'), (64, 64))
    return [spec for tap in taps for spec in run.specs[tap]]


def known(network, *taps):
    return [(spec.kind, spec.level) for spec in specs(network, taps)]


def test_taps_that_a_config_names():
    network = build_network(segmentor(), 'x')
    assert known(network, 'decode_head.conv_seg') == [('logits', 0)]
    # What goes into the classifier is a place of its own.
    assert known(network,
                 'decode_head.conv_seg@input') == [('classifier_input', 0)]
    assert known(network, 'decode_head.dropout@input') == [(None, None)]
    stages = len(known(network, 'backbone'))
    assert known(network, 'backbone') == [('stages', i) for i in range(stages)]
    assert known(network, 'backbone[1:3]') == [('stages', 1), ('stages', 2)]
    assert known(network, 'backbone[-1]') == [('stages', -1)]
    assert known(network, 'backbone.layer4') == [(None, None)]


def test_views_of_other_places():
    """What `maps` and `features` pick is what it was."""
    network = build_network(detector(), 'x')
    for place in ('maps', 'features', 'neck'):
        taps = [x.tap for x in family_of(network).taps(network, place)]
        found = known(network, *taps)
        assert found == [('neck', i) for i in range(len(found))], place


def test_auxiliary_heads():
    network = build_network(segmentor(), 'x')
    network.auxiliary_head = torch.nn.ModuleList([network.decode_head])
    tap = Tap.parse('auxiliary_head.0.conv_seg')
    assert recognise(network, tap).kind == 'auxiliary_logits'


def test_branches_of_a_centre_head():
    network = build_network(centerpoint(), 'x')
    found = specs(network, [
        'pts_bbox_head.task_heads.1.dim', 'pts_bbox_head[1][0][heatmap]',
        'pts_neck[0]'
    ])
    assert [(x.kind, x.task, x.branch, x.level)
            for x in found] == [('head_maps', 1, 'dim', 0),
                                ('responses', 1, 'heatmap', 0),
                                ('bev_high', None, None, 0)]


@pytest.mark.parametrize('calls', ['one', 'all'])
def test_outputs_of_an_anchor_head(calls):
    network = build_network(pointpillars(), 'x')
    taps = [
        dict(module=f'bbox_head.{name}', calls=calls)
        for name in ('conv_reg', 'conv_cls', 'conv_dir_cls')
    ]
    assert [(x.kind, x.task, x.branch, x.level) for x in specs(network, taps)
            ] == [('head_maps', None, branch, 0)
                  for branch in ('bbox_pred', 'cls_score', 'dir_cls_pred')]


def test_strides_of_maps_in_the_image():
    network = build_network(detector(), 'x')
    strides = [spec.stride for spec in specs(network, ['neck'])]
    assert strides[:2] == [strides[0], 2 * strides[0]]
