"""The sweep over the libraries' families, on tiny networks."""
import os
import time

import pytest

from benchmarks import zoo
from mmkd.core.network import build_network
from mmkd.testing import detector
from mmkd.testing.lidar import second


def test_a_small_and_a_larger_member():
    assert zoo.choose([
        'gfl_r50_fpn_1x_coco', 'gfl_r101_fpn_ms-2x_coco',
        'gfl_x101-32x4d_fpn_ms-2x_coco', 'gfl_r50_fpn_ms-2x_coco'
    ]) == ['gfl_r50_fpn_1x_coco', 'gfl_x101-32x4d_fpn_ms-2x_coco']
    assert zoo.choose(['ssd300_coco']) == ['ssd300_coco'] * 2
    names = ['yolox_nano', 'yolox_tiny', 'yolox_s', 'yolox_l', 'yolox_x']
    assert sorted(reversed(names), key=zoo.size_of) == names


def test_every_library_has_cases():
    found = list(zoo.cases())
    assert len({case.name for case in found}) == len(found) > 150
    assert {case.library for case in found} == set(zoo.METHODS)


def test_deaths_are_results():

    def die():
        os._exit(3)

    def hold():
        return dict(size=len(bytes(2**28)), slept=time.sleep(9))

    assert zoo.in_process(lambda: dict(a=1), 60, 8) == dict(a=1)
    assert zoo.in_process(die, 60, 8) == dict(died='ended with status 768')
    assert 'more than 0 s' == zoo.in_process(hold, .01, 8)['died']
    assert 'GiB' in zoo.in_process(hold, 60, .1)['died']


@pytest.mark.parametrize('make, method, wanted', [
    (detector, 'PKD', 'yes'),
    (detector, 'BPKD', 'no'),
    (second, 'PointDistiller', 'GPU'),
])
def test_outcomes(make, method, wanted):
    configs = [make(4), make(8)]
    for config in configs:
        encoder = config['model'].get('middle_encoder')
        if encoder:  # one whose operators need a GPU
            encoder['type'] = 'SparseEncoder'
    networks = [build_network(config, 'x') for config in configs]
    method = dict(type=method)
    if wanted == 'GPU':
        method.update(num_centres=8, num_neighbours=4)
    outcome, remark = zoo.try_method(networks, method, 120, 8)
    assert outcome == wanted
    assert ('standard place' in remark) == (wanted == 'no')


def test_table(tmp_path):
    rows = dict(PKD=('yes', ''), FGD=('no', 'has <no> such thing'))
    result = dict(
        versions=dict(mmdet='3.3.0'),
        cases={
            'mmdet/gfl':
            dict(student='gfl/gfl_r50', teacher='gfl/gfl_r101', methods=rows),
            'mmdet/ssd':
            dict(student='ssd/ssd300', teacher='ssd/ssd300', methods=rows)
        })
    path = tmp_path / 'zoo.md'
    zoo.write_table(result, path, ['mmdet/gfl', 'mmdet/yolox'])
    text = path.read_text()
    assert '| gfl | gfl_r50 | gfl_r101 | yes | no [1](#reasons) |' in text
    assert text.count('has \\<no\\> such thing') == 1  # one note for both
    assert 'Not tried yet (1): mmdet/yolox.' in text
    assert 'mmdet3d' not in text and 'mmdet 3.3.0' in text
