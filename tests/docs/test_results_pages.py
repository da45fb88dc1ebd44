"""The pages of results say what the files in benchmarks/results say."""
import json
import re
from pathlib import Path

import matplotlib
import pytest

from benchmarks import pages, published
from benchmarks.picture import picture
from benchmarks.published import VERDICTS, Gain, verdict_of

ROOT = Path(__file__).parents[2]
PROSE = [
    ROOT / 'README.md', ROOT / 'docs/get_started.md', pages.PAGE,
    *sorted(pages.DETAILS.glob('*.md')), *sorted(pages.METHODS.glob('*.md'))
]
# Derived from the scores of result files.
DERIVED = {
    '+0.73 ± 0.60': 'the last five seeds of the quick demo',
}


@pytest.fixture(scope='module')
def rows():
    return published.rows()


@pytest.fixture(scope='module')
def texts():
    return pages.texts()


def test_pages_are_up_to_date(texts):
    old = [
        path.name for path, text in texts.items()
        if path.read_text(encoding='utf-8') != text
    ]
    assert old == [], 'run: make pages'


def test_the_picture_is_up_to_date(rows):
    found = picture(pages.by_task(rows))
    assert found == picture(pages.shown())
    assert len(found) < 200_000
    there = pages.PICTURE.read_text(encoding='utf-8')
    if f'Matplotlib v{matplotlib.__version__},' not in there:
        pytest.skip('drawn with another version of matplotlib')
    assert found == there, 'run: make pages'


def test_every_task_has_its_page(texts):
    text = texts[pages.PAGE]
    for task, page in published.TASKS.items():
        assert f'\n## {task}\n' in text
        assert pages.DETAILS / f'{page}.md' in texts
    assert text.count('**Not measured yet**') <= len(published.TASKS)


def test_every_method_has_its_evidence(texts):
    for path in pages.METHODS.glob('*.md'):
        assert f'<!-- table: evidence {path.stem} -->' in texts[path]
    assert '**pays at equal time**' in texts[pages.METHODS / 'feature_kd.md']
    assert 'Not measured yet.' in pages.evidence('none')


@pytest.mark.parametrize('equal_iters, equal_time, verdict', [
    (Gain(1, 0.4), Gain(1, 0.4), 'pays at equal time'),
    (Gain(1, 0.4), Gain(0.8, 0.4), 'equals longer training'),
    (Gain(0.8, 0.4), Gain(0.8, 0.4), 'within the noise'),
    (Gain(1, 0.4), Gain(-1, 0.4), 'train longer instead'),
    (None, Gain(-1, 0.4), 'train longer instead'),
    (Gain(5, 0.4), Gain(5, None), 'one seed only'),
])
def test_verdicts(equal_iters, equal_time, verdict):
    assert verdict_of(equal_iters, equal_time) == verdict
    assert verdict in VERDICTS


def result(name, **more):
    """A result file of benchmarks/methods.py."""
    gain = dict(metric='mIoU', gain=1., standard_error=0.1, gap_closed=None)
    return dict(
        dict(
            method=name,
            task='segmentation, CamVid',
            metric='mIoU',
            seeds=[0, 1],
            preset='camvid',
            teacher=50.,
            baseline=[30., 32.],
            equal_time=[31., 33.],
            distilled=[31., 33.],
            summary=gain,
            summary_at_equal_time=dict(gain, gain=0.5),
            cost=dict(ratio=1.4, error=0.02),
            iters=dict(teacher=8, student=8, equal_time=12),
            tuned=dict(student=dict(key='a.lr', values=[1, 2], chosen=2)),
            command='benchmarks/methods.py',
            data='0123456789',
            versions=dict(commit='abc', mmkd='0.2.0'),
            date='2026-11-29'), **more)


def test_new_results_are_found(monkeypatch, tmp_path):
    """Also of methods without an entry."""
    for name, content in dict(
            camvid_bpkd=result('camvid_bpkd'),
            camvid_bpkd_fast=result('camvid_bpkd', fast=True),
            another=result('another', preset='cells', task='detection'),
            early=result('early', equal_time=[2., 4.]),
            fgd=result('fgd', preset='bench', task='detection')).items():
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    monkeypatch.setattr(published, 'RESULTS', tmp_path)
    found = {row.source: row for row in published.rows()}
    row = found['camvid_bpkd.json']
    assert (row.label, row.page, row.data,
            row.student) == ('BPKD', 'bpkd', 'CamVid', 'DeepLabV3+')
    assert row.equal_time == Gain(0.5, 0.1) and row.cost == (1.4, 0.02)
    assert row.real and row.alone == 31 and row.teacher == 50
    assert found['camvid_bpkd_fast.json'].label == 'BPKD, `--fast`'
    assert found['fgd.json'].data == 'scenes v4'
    assert found['another.json'].label == 'another'
    early = found['early.json']
    assert early.verdict == 'too early to say' and early.sign == 0
    assert early.verdict in VERDICTS
    assert pages.best_of(list(found.values())) is not early
    page = pages.tasks() + pages.summary()
    assert '| 31.0 → 3.0 / 50.0 |' in page
    assert (
        '[BPKD](methods/bpkd.md) | **pays at equal time** | +0.50 ± 0.10 mIoU'
        in page)
    assert '2 of 2 rows pay at equal time' in page
    assert 'BPKD (DeepLabV3+) | mIoU' in pages.TABLES['scores segmentation']()


def test_summaries_are_those_of_the_scores():
    for name in published.files():
        found = published.read(name)
        for key, alone in (('summary', 'baseline'), ('summary_at_equal_time',
                                                     'equal_time')):
            gain = sum(found['distilled']) - sum(found[alone])
            assert found[key]['gain'] == pytest.approx(
                gain / len(found['seeds'])), name


def numbers(content):
    """The pairs of a number and an error in a result file."""
    if isinstance(content, list):
        return [pair for part in content for pair in numbers(part)]
    if not isinstance(content, dict):
        return []
    plain = {
        key: x
        for key, x in content.items() if isinstance(x, (int, float))
    }
    errors = [x for key, x in plain.items() if 'error' in key]
    return [(x, error) for x in plain.values() for error in errors
            ] + [pair for part in content.values() for pair in numbers(part)]


def test_every_error_comes_out_of_a_file():
    known = [
        pair for path in published.RESULTS.glob('*.json')
        for pair in numbers(json.loads(path.read_text()))
    ]
    missing = []
    for path in PROSE:
        text = ' '.join(path.read_text(encoding='utf-8').split())
        for found in re.findall(r'([-+]?\d+\.\d+) ± (\d+\.\d+)', text):
            units = [10**-len(x.split('.')[1]) for x in found]
            if ' ± '.join(found) not in DERIVED and not any(
                    all(
                        abs(float(x) - y) <= 0.51 * unit
                        for x, y, unit in zip(found, pair, units))
                    for pair in known):
                missing.append(f'{path.name}: {" ± ".join(found)}')
    assert missing == []
