import json
import re
from dataclasses import replace

import pytest

from mmkd.errors import ConfigError
from mmkd.report.comparison import compare
from mmkd.report.page import check_new, free_path, headline, write_report


@pytest.fixture(scope='module')
def compared(runs):
    return compare(runs[:2], test=False)


def test_page_and_json(runs, tmp_path):
    result = compare(runs, images=1)
    page, data = write_report(result, str(tmp_path / 'r' / 'report.html'))
    text = open(page, encoding='utf-8').read()
    assert text.lstrip().startswith('<!DOCTYPE html>')
    for part in ('Metrics', 'Classes', 'Sizes', 'Training', 'Pictures', 'Cost',
                 'Runs', 'seed by seed', 'teacher', 'Shares of the gradients',
                 runs[0]):
        assert part in text
    # Nothing is fetched.
    assert set(re.findall(r'(?:src|href)="(\w+):', text)) == {'data'}
    assert not re.search(r'<script|@import|url\(|https?://', text)
    assert json.load(open(data, encoding='utf-8'))['metric'] == 'mIoU'


def test_names_are_escaped(compared, tmp_path):
    compared = replace(compared, notes=['<script>alert(1)</script>'])
    page, _ = write_report(compared, str(tmp_path / 'report.html'))
    assert '<script' not in open(page, encoding='utf-8').read()


def test_no_report_is_overwritten(tmp_path):
    path = tmp_path / 'report.html'
    check_new(str(path))
    (tmp_path / 'report.json').write_text('mine')
    with pytest.raises(ConfigError, match='report.json exists'):
        check_new(str(path))
    assert free_path(str(path)) == str(tmp_path / 'report_2.html')
    with pytest.raises(ConfigError, match='a file .html'):
        check_new('report.txt')


class Fixed:
    """A comparison with given values of a metric."""

    def __new__(cls, compared, metric, base, other):
        groups = []
        for group, values in zip(compared.groups, (base, other)):
            group = replace(group, runs=group.runs * len(values))
            group.metrics = lambda values=values: [{
                metric: value
            } for value in values]
            group.by_seed = lambda values: dict(enumerate(values))
            groups.append(group)
        return replace(compared, groups=groups, metric=metric)


@pytest.mark.parametrize('metric, base, other, kind, title', [
    ('mIoU', [1, 2, 3], [3, 4, 5.1
                         ], 'gain', 'Distillation paid: +2.03 mIoU ± 0.03'),
    ('mIoU', [3, 4, 5.1], [1, 2, 3
                           ], 'loss', 'Distillation hurt: −2.03 mIoU ± 0.03'),
    ('mIoU', [1, 2, 3], [3, 2, 3], 'open', 'No clear gain: +0.67 mIoU ± 0.67'),
    ('mIoU', [1], [3], 'open', '+2.00 mIoU, one seed'),
    ('mIoU', [0], [0], 'open', 'mIoU is 0 in all runs'),
    ('mIoU', [3], [1], 'open', 'No gain: −2.00 mIoU, one seed'),
    ('coco/bbox_mAP', [.1], [.12], 'open', '+2.00 box mAP, one seed'),
    ('x/mATE', [1, 2, 3], [.5, 1.4, 2.5
                           ], 'gain', 'Distillation paid: −0.53 mATE ± 0.03'),
])
def test_headline(compared, metric, base, other, kind, title):
    found = headline(Fixed(compared, metric, base, other))
    assert found[:2] == (kind, title)
