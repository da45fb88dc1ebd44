import pytest

from mmkd.errors import ConfigError
from mmkd.report.groups import check_comparable, differences, group_runs
from mmkd.report.runs import Curve, RecordedRun
from mmkd.testing import distillation_config, segmentation_config


def run(folder, seed=0, distils=False, iters=4, seconds=10., **options):
    cfg = segmentation_config(
        'data', folder, seed=seed, max_iters=iters, **options)
    if distils:
        cfg = distillation_config(cfg, dict(cwd=dict(type='CWD')))
    return RecordedRun(
        folder, cfg, task_loss=Curve([iters], [1.]), seconds=seconds)


def test_seeds_of_a_config_are_one_group():
    groups = group_runs(
        [run('d1', 1, True),
         run('a0'),
         run('a1', 1),
         run('d0', 0, True)])
    assert [g.name for g in groups] == ['alone', 'CWD']
    assert [[r.folder for r in g.runs] for g in groups] == [['a0', 'a1'],
                                                            ['d0', 'd1']]


def test_a_resumed_run_is_in_the_group_of_its_config():
    resumed = run('a1', 1)
    resumed.config.merge_from_dict(
        dict(resume=True, load_from='a1/iter_2.pth'))
    groups = group_runs([run('a0'), resumed, run('d0', 0, True)])
    assert [len(group.runs) for group in groups] == [2, 1]


def test_a_longer_run_alone_is_known_by_its_time():
    groups = group_runs([
        run('long', iters=8, seconds=19.),
        run('short'),
        run('d', distils=True, seconds=20.)
    ])
    assert [g.name
            for g in groups] == ['alone', 'alone, same training time', 'CWD']


def test_groups_of_equal_names_are_told_apart():
    names = [
        g.name for g in group_runs([
            run('a'),
            run('w/d1', distils=True),
            run('w/d2', distils=True, optim_wrapper__optimizer__lr=1.)
        ])
    ]
    assert len(set(names)) == 3 and names[2] == 'CWD (d2)'


@pytest.mark.parametrize('given', [('a', 'b'), ('a', )])
def test_nothing_to_compare(given):
    with pytest.raises(ConfigError):
        group_runs([run(folder) for folder in given])


@pytest.mark.parametrize('split, key, value, words', [
    ('test', 'test_dataloader__dataset__data_root', 'other', 'other data'),
    ('val', 'val_evaluator__iou_metrics', ['mDice'], 'other metrics'),
])
def test_other_data_and_metrics_are_refused(split, key, value, words):
    runs = [run('a'), run('b', **{key: value})]
    with pytest.raises(ConfigError, match=words) as error:
        check_comparable(runs, split)
    assert 'a and b are not comparable' in str(error.value)
    assert '\n' not in str(error.value)
    check_comparable(runs, 'val' if split == 'test' else 'test')


def test_settings_that_differ():
    plain = run('a').config
    other = run('b', distils=True, optim_wrapper__optimizer__lr=1.).config
    assert differences(plain, run('d', distils=True).config) == []
    assert differences(plain,
                       other) == [('optim_wrapper.optimizer.lr', 0.05, 1.)]


def test_both_train_fast():
    """The option lies at the top level alone, and in the distilled model."""
    plain, other = run('a').config, run('b', distils=True).config
    plain.channels_last = True
    assert differences(plain, other) == [('channels_last', True, False)]
    other.model.channels_last = True
    assert differences(plain, other) == []
