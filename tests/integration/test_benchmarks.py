"""The benchmarks: their arithmetic, their errors, and a tiny step time."""
import argparse
import importlib.util
import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import experiment
from benchmarks.entry import Entry, Grid, names, of_student, root_of
from benchmarks.experiment import ChosenBy, ConfigOf, Experiment, WeightsOf
from benchmarks.progress import Progress
from benchmarks.report import checksum, record_code, recorded_code
from mmkd.errors import ConfigError
from mmkd.utils.runs import Run, _as_options

pytestmark = pytest.mark.usefixtures('thaws')
ROOT = Path(__file__).parents[2]


def script(name):
    """A script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(
        name, ROOT / f'benchmarks/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_parsed(options):
    """What a run receives of options over its command line."""
    from mmengine.config import DictAction
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='+', action=DictAction, default={})
    given = ['--options', *_as_options(options)] if options else []
    return parser.parse_args(given).options


@pytest.fixture(scope='module')
def methods():
    return script('methods')


@pytest.fixture(scope='module')
def overhead():
    return script('overhead')


class TestSummary:

    def test_by_hand(self, methods):
        # Gains 1, 2, 3: mean 2, deviation 1, error 1 / sqrt(3); the student
        # alone has a mean of 51, so that the gap is 10.
        summary = methods.summarise(
            dict(
                teacher=61.0,
                baseline=[50.0, 51.0, 52.0],
                distilled=[51.0, 53.0, 55.0]), 'mIoU')
        assert summary['metric'] == 'mIoU'
        assert summary['gain'] == pytest.approx(2)
        assert summary['standard_error'] == pytest.approx(3**-0.5)
        assert summary['gap_closed'] == pytest.approx(0.2)

    def test_seeds_are_paired(self, methods):
        # The seeds differ by 10 points and the gain by nothing.
        summary = methods.summarise(
            dict(teacher=80.0, baseline=[40.0, 50.0], distilled=[42.0, 52.0]))
        assert summary['gain'] == pytest.approx(2)
        assert summary['standard_error'] == pytest.approx(0)

    def test_loss_is_negative(self, methods):
        summary = methods.summarise(
            dict(teacher=60.0, baseline=[50.0, 50.0], distilled=[49.0, 48.0]))
        assert summary['gain'] == pytest.approx(-1.5)
        assert summary['gap_closed'] == pytest.approx(-0.15)

    def test_one_seed_has_no_error(self, methods):
        summary = methods.summarise(
            dict(teacher=60.0, baseline=[50.0], distilled=[55.0]))
        assert summary['gain'] == pytest.approx(5)
        assert summary['standard_error'] is None
        assert summary['gap_closed'] == pytest.approx(0.5)

    def test_weak_teacher_has_no_gap(self, methods):
        for teacher in (49.0, 50.0):
            summary = methods.summarise(
                dict(teacher=teacher, baseline=[50.0], distilled=[51.0]))
            assert summary['gap_closed'] is None

    def test_untested_teacher_has_no_gap(self, methods):
        summary = methods.summarise(
            dict(teacher=None, baseline=[30.], distilled=[31.]))
        assert summary['gain'] == 1 and summary['gap_closed'] is None

    def test_is_plain_data(self, methods):
        summary = methods.summarise(
            dict(teacher=60.0, baseline=[50.0, 51.0], distilled=[52.0, 54.0]))
        assert json.loads(json.dumps(summary)) == summary


class TestMethods:

    def test_unknown_method_is_named(self, methods, monkeypatch, tmp_path):
        from mmkd.errors import ConfigError
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigError, match="no benchmark of 'bkpd'.*bpkd"):
            methods.main(['--method', 'bkpd'])
        assert list(tmp_path.iterdir()) == []

    def test_method_is_required(self, methods, capsys):
        with pytest.raises(SystemExit):
            methods.main([])
        assert '--method' in capsys.readouterr().err

    @pytest.mark.parametrize('name', names('method'))
    def test_entries_can_be_read(self, name):
        from mmengine.config import Config
        entry = Entry.load(name, 'none')
        assert name == entry.method
        teachers = [
            *([entry.teacher] if entry.teacher else []),
            *entry.more_teachers.values(), *entry.first_stages.values()
        ]
        for part in (*teachers, entry.student, entry.distilled):
            assert 'model' in Config.fromfile(ROOT / part.config)
            assert as_parsed(part.options) == part.options
        if entry.pretrained:
            source = Entry.load(entry.pretrained.entry, 'none')
            if entry.pretrained.root is None:
                assert set(source.formats) <= set(entry.formats)
            begin = [x for x in (*teachers, entry.student) if x.pretrained]
            assert begin
            module = entry.pretrained.module
            for part in begin if module else ():
                model = Config.fromfile(ROOT / part.config).model
                assert module in model.get('student', model)
            if module is None:
                assert source.teacher.config == entry.teacher.config
                assert source.student.config == entry.student.config
        # Files of the validation scenes lie where the config has them.
        config = Config.fromfile(ROOT / entry.student.config)
        config.merge_from_dict(entry.splits['val'])
        tested, validated = (
            loader.dataset.get('data_prefix', {})
            for loader in (config.test_dataloader, config.val_dataloader))
        assert {k: tested.get(k) for k in validated} == validated
        # As many values are tried for the student alone.
        assert len(entry.distilled_grid.values) <= len(
            entry.student_grid.values)
        *path_to, last = entry.distilled_grid.key.split('.')
        place = Config.fromfile(ROOT / entry.distilled.config)
        for key in path_to:
            place = place[key]
        assert last == 'loss_weight' or last in place

    def test_fields_are_checked(self, monkeypatch, tmp_path):
        from mmkd.errors import ConfigError
        monkeypatch.setattr('benchmarks.entry.ENTRIES', tmp_path)
        whole = (ROOT / 'benchmarks/entries/retinanet_scenes.py').read_text()
        for text, message in ((whole + 'tuning_itrs = 5',
                               "bad has no field 'tuning_itrs'"),
                              (whole.replace('iters=1000', 'iter=1000'),
                               "bad: teacher has no field 'iter'"),
                              (whole.replace('metric =', 'more_metrics ='),
                               "bad: .*'metric'")):
            (tmp_path / 'bad.py').write_text(text)
            with pytest.raises(ConfigError, match=message):
                Entry.load('bad', 'none')

    def test_settings_of_the_student_are_those_of_the_distilled_one(self):
        assert of_student({
            'model.neck.width': 8,
            'train_dataloader.batch_size': 2
        }) == {
            'model.student.neck.width': 8,
            'train_dataloader.batch_size': 2
        }


class TestProgress:

    @staticmethod
    def run(folder, config='a.py', iters=100, seconds=None):
        if seconds is not None:
            folder.mkdir()
            (folder / 'state.json').write_text(
                json.dumps(dict(done=True, seconds=seconds)))
        return Run(folder.name, config, str(folder), iters)

    def expect(self, progress, plan, *runs):
        progress.expect(plan, {run.work_dir: run for run in runs})

    def test_of_a_series(self, tmp_path, capsys):
        progress = Progress(2)
        shared = self.run(tmp_path / 'teacher', seconds=60)
        first, longer = (self.run(tmp_path / name, 'b.py', iters)
                         for name, iters in (('first', 100), ('longer', 200)))
        self.expect(progress, 'x', shared, first)
        self.expect(progress, 'y', shared, longer)
        # No pace of b.py is known: that of a.py, 300 iterations, two jobs.
        assert str(progress) == (
            'run 1 of 3 of the series is done, about 2 min left')
        self.run(tmp_path / 'first', 'b.py', seconds=300)
        progress.update(first)
        assert 'run 2 of 3 of the series is done, about 5 min left' in (
            capsys.readouterr().out)
        # The cost is known now, and other runs are needed.
        self.expect(progress, 'y', shared)
        assert 'run 2 of 2 ' in str(progress)

    def test_before_the_first_run(self, tmp_path):
        progress = Progress(1)
        self.expect(progress, 'x', self.run(tmp_path / 'run'))
        assert str(progress) == 'run 0 of 1 of the series is done'


class TestExperiment:
    """The graph of runs; nothing is trained for it."""

    def test_plan_of_a_simple_method(self):
        plan = Experiment(Entry.load('fgd', '/d'), [0, 1])
        assert list(plan.nodes) == [
            'retinanet_teacher', 'retinanet_student_tune_0.002',
            'retinanet_student_tune_0.005', 'student',
            'retinanet_student_seed0', 'retinanet_student_seed1',
            'fgd_tune_0.3', 'fgd_tune_1', 'distilled', 'fgd_seed0', 'fgd_seed1'
        ]
        assert plan.teachers == ['retinanet_teacher']
        alone, distilled = (
            plan.nodes[f'{name}_seed1']
            for name in ('retinanet_student', 'fgd'))
        assert alone.iters == distilled.iters == 1000
        assert alone.split == distilled.split == 'test'
        # They differ by the method alone.
        weight = 'model.distillers.fgd.loss_weight'
        assert distilled.options == {
            **alone.options, weight: ChosenBy('distilled'),
            'model.teachers.teacher.ckpt': WeightsOf('retinanet_teacher')
        }
        assert alone.options['optim_wrapper.optimizer.lr'] == ChosenBy(
            'student')
        tuned = plan.nodes['fgd_tune_0.3']
        assert tuned.options[weight] == 0.3 and tuned.split == 'val'
        assert tuned.options['randomness.seed'] == 1000 and tuned.iters == 500
        assert set(tuned.needs) == {'student', 'retinanet_teacher'}

    def test_plan_with_a_first_stage(self):
        plan = Experiment(Entry.load('maskd', '/d'), [0])
        name = 'maskd_maskd-tokens_retinanet-r18w32_scenes'
        assert plan.teachers == ['retinanet_teacher', name]
        assert plan.nodes[name].needs == ['retinanet_teacher']
        distilled = plan.nodes['maskd_seed0']
        assert name in distilled.needs
        run = Run(name, plan.nodes[name].config, '/w', 200)
        settings = experiment.resolved(
            distilled, {
                name: SimpleNamespace(run=run),
                'retinanet_teacher': SimpleNamespace(run=run),
                'student': dict(chosen=1),
                'distilled': dict(chosen=1)
            })
        assert settings['model.distillers.maskd.masks'] == '/w/iter_200.pth'

    def test_plan_with_pretrained_parts_and_an_assistant(self):
        plan = Experiment(Entry.load('monotakd', '/d'), [0], iters=7)
        family = 'bev-lidar_bev-residual_kitti_'
        assert plan.teachers == [
            'retinanet_teacher', f'{family}teacher', f'{family}assistant'
        ]
        # A single candidate is taken untested.
        assert not any('tune' in name for name in plan.nodes)
        assert plan.nodes['student'].needs == ()
        source, teacher, assistant = map(plan.nodes.get, plan.teachers)
        assert 'annotations' in str(source.splits) and teacher.needs == []
        init = 'model.student.img_backbone.init_cfg'
        assert assistant.options[f'{init}.checkpoint'] == WeightsOf(
            'retinanet_teacher')
        distilled = plan.nodes['monotakd_seed0'].options
        assert distilled['model.teachers.assistant.cfg'] == ConfigOf(
            f'{family}assistant')
        assert 'model.teachers.teacher.cfg' not in distilled
        assert {
            node.iters
            for node in plan.nodes.values() if hasattr(node, 'iters')
        } == {7}

    def test_plan_with_pretrained_networks(self):
        plan = Experiment(Entry.load('kitti_pretrained_xray', '/d'), [0])
        sources = ['kitti_pretraining_teacher', 'kitti_pretraining_student']
        assert plan.teachers == [*sources, 'pointpillars_pretrained_teacher']
        for name in sources:
            options = plan.nodes[name].options
            assert options['train_dataloader.dataset.data_root'] == \
                'data/scenes/bench/kitti'
            assert not plan.nodes[name].needs
        for name, model, source in (('pointpillars_pretrained_teacher',
                                     'model', sources[0]),
                                    ('pointpillars_pretrained_student_seed0',
                                     'model', sources[1]),
                                    ('kitti_pretrained_xray_seed0',
                                     'model.student', sources[1])):
            options = plan.nodes[name].options
            assert options['train_dataloader.dataset.data_root'] == '/d'
            assert options[f'{model}.init_cfg.checkpoint'] == WeightsOf(source)
            assert f'{model}.init_cfg.prefix' not in options

    def test_plan_of_a_method_without_teacher(self):
        plan = Experiment(Entry.load('depth_kitti', '/d'), [0])
        alone, other = (
            plan.nodes[f'{name}_seed0']
            for name in ('bev-lidar_bev-residual_kitti_student',
                         'depth_kitti'))
        assert other.options == {
            **alone.options, 'model.depth_loss_weight': ChosenBy('distilled')
        }
        # The camera's backbone is pretrained; no other network is trained.
        assert plan.teacher is None
        assert plan.teachers == ['retinanet_teacher']
        assert plan.length(plan.entry.teacher) is None

    def test_equal_time(self):
        """The student alone trains for at least as long."""
        entry = Entry.load('fgd', '/d')
        for cost, iters in ((1.0, 1000), (1.001, 1050), (1.5, 1500),
                            (1.51, 1550), (0.9, 1000)):
            plan = Experiment(entry, [0, 1], cost=cost)
            runs = [plan.nodes[name] for name in plan.equal_time]
            assert [run.iters for run in runs] == [iters] * 2, cost
            for longer, name in zip(runs, plan.alone):
                alone = plan.nodes[name]
                assert longer.options == alone.options
                assert longer.split == alone.split == 'test'
            assert (plan.equal_time == plan.alone) == (iters == 1000)
        assert Experiment(entry, [0]).equal_time == []

    def test_a_longer_equal_time(self):
        """Up to a tenth longer, the student alone shares another's runs."""
        entry = Entry.load('fgd', '/d')
        for longer in (1500, 1650):
            plan = Experiment(entry, [0], cost=1.5, longer=longer)
            assert plan.equal_time == [f'retinanet_student_{longer}_seed0']
        for longer in (1450, 1700):
            with pytest.raises(ConfigError, match='it takes 1500, or up to'):
                Experiment(entry, [0], cost=1.5, longer=longer)

    def test_both_students_train_fast(self):
        plan = Experiment(Entry.load('fgd', '/d'), [0], fast=True, cost=2.)
        fast = {
            name: getattr(x, 'fast', True)
            for name, x in plan.nodes.items()
        }
        assert not fast.pop('retinanet_teacher') and all(fast.values())

    def test_real_data(self, monkeypatch, tmp_path):
        from mmkd.errors import ConfigError
        monkeypatch.setattr('benchmarks.entry.ENTRIES', tmp_path)
        (tmp_path / 'streets.py').write_text("real_data = 'camvid'")
        (tmp_path / 'scenes.py').write_text("task = 'detection'")
        assert root_of('scenes', 'small') == 'data/scenes/small'
        monkeypatch.delenv('MMKD_REAL_DATA', raising=False)
        with pytest.raises(ConfigError, match='set MMKD_REAL_DATA.*camvid/'):
            root_of('streets', 'small')
        monkeypatch.setenv('MMKD_REAL_DATA', str(tmp_path))
        (tmp_path / 'camvid').mkdir()
        assert root_of('streets', 'small') == str(tmp_path / 'camvid')

    def test_checksum(self, tmp_path):
        (tmp_path / 'a').mkdir()
        (tmp_path / 'a/b').write_text('1')
        first = checksum(tmp_path)
        assert checksum(tmp_path) == first and len(first) == 64
        (tmp_path / 'a/b').rename(tmp_path / 'a/c')
        assert checksum(tmp_path) != first
        (tmp_path / 'scenes.json').write_text('{}')
        listed = checksum(tmp_path)
        (tmp_path / 'a/c').write_text('2')
        assert checksum(tmp_path) == listed

    def test_execution(self, monkeypatch, tmp_path, capsys):
        """The best values are passed on, and weights of finished runs."""
        made, exported = {}, []

        def train(run):
            made[run.name] = dict(run.options)
            return run

        def score(run, split):
            tuned = run.name.startswith('fgd_tune') and split == 'val'
            key = 'model.distillers.fgd.loss_weight' if tuned \
                else 'optim_wrapper.optimizer.lr'
            return {'coco/bbox_mAP': run.options[key], 'path': 'no number'}

        monkeypatch.setattr(Run, 'train', train)
        monkeypatch.setattr(Run, 'test', score)
        monkeypatch.setattr(experiment, '_export',
                            lambda run: exported.append(run.name))
        entry = Entry.load('fgd', '/d')
        plan = Experiment(entry, [3])
        progress = Progress(2)
        progress.expect('fgd', plan.runs(str(tmp_path)))
        results = experiment.execute(plan.nodes, entry, str(tmp_path), 1,
                                     plan.teachers, progress)
        assert 'run 1 of 7 of the series' in capsys.readouterr().out
        assert list(made) == list(results) == ['retinanet_teacher']
        assert exported.pop() == 'retinanet_teacher'
        results = experiment.execute(
            plan.nodes, entry, str(tmp_path), 2, progress=progress)
        assert 'run 7 of 7 of the series is done, about 0 min left' in (
            capsys.readouterr().out)
        assert len(recorded_code(tmp_path / 'fgd_seed3')) == 1
        assert set(results) == set(plan.nodes)
        assert exported == ['retinanet_teacher']
        assert results['student'] == dict(
            key='optim_wrapper.optimizer.lr',
            values=[2e-3, 5e-3],
            validation=[0.2, 0.5],
            chosen=5e-3)
        assert results['distilled']['chosen'] == 1.0
        assert results['fgd_seed3'].metrics == {'coco/bbox_mAP': 0.5}
        found = made['fgd_seed3']
        assert found['optim_wrapper.optimizer.lr'] == 5e-3
        assert found['model.teachers.teacher.ckpt'] == str(
            tmp_path / 'retinanet_teacher/export/student.pth')

    def test_code_of_a_run(self, monkeypatch, tmp_path):
        """Each version that trains a run is noted, once."""
        for version, done in (('a', False), ('a', False), ('b', False),
                              ('c', True)):
            monkeypatch.setattr('benchmarks.report.code_version',
                                lambda: version)
            record_code(tmp_path / 'run', done)
        assert recorded_code(tmp_path / 'run') == ['a', 'b']

    def test_folder_of_the_runs(self, methods, monkeypatch, tmp_path):
        """It is keyed by the data and the code."""
        (tmp_path / 'scenes.json').write_text('{"version": 4}')
        monkeypatch.setattr(methods.report, 'checksum', lambda root: 'd' * 64)
        monkeypatch.setattr(methods.report, 'code_version', lambda: 'c' * 64)
        args = ['--method', 'fgd', '--data-root', str(tmp_path), '--fast']
        found = methods.Comparison('fgd', methods.parse_args(args))
        assert found.folder == 'work_dirs/bench/bench_fast/dddddddd-cccccccc'
        assert found.out == 'benchmarks/results/fgd_fast.json'
        cached = methods.Comparison(
            'fgd', methods.parse_args([*args, '--cache', '8']))
        assert cached.folder == found.folder
        assert cached.out == 'benchmarks/results/fgd_fast_cached.json'
        plan = cached.plan(1.1)
        assert plan.distilled == [f'fgd_cached_seed{i}' for i in range(3)]
        assert plan.alone == found.plan(1.1).alone
        settings = plan.nodes['fgd_cached_seed0'].options
        assert settings['model.teachers.teacher.cache.views'] == 8
        assert not any('cache' in key
                       for key in plan.nodes[plan.alone[0]].options)
        with pytest.raises(ConfigError, match='no teacher to cache'):
            methods.Comparison('depth_kitti',
                               methods.parse_args([*args, '--cache',
                                                   '8'])).plan(None)
        args = methods.parse_args([*args, '--work-dir', 'mine'])
        assert methods.Comparison('fgd', args).folder == 'mine'

    def test_a_series(self, methods, monkeypatch, tmp_path, capsys):
        """Two methods of a pair, resumed; nothing is really trained."""
        trained = []

        def train(run):
            if not run.done:
                trained.append(run.name)
                path = Path(run.work_dir) / 'state.json'
                path.write_text(json.dumps(dict(done=True, seconds=6)))
            return run

        monkeypatch.setattr(Run, 'train', train)
        monkeypatch.setattr(
            Run, 'test', lambda run, split: {
                'mIoU': 20. + run.options['randomness.seed'] + run.iters,
                'mBIoU': 5.
            })
        monkeypatch.setattr(experiment, '_export', lambda run: None)
        monkeypatch.setattr(methods, 'step_cost',
                            lambda *runs: dict(ratio=1.5, error=0.1))
        monkeypatch.setattr(Entry, 'make_data', lambda *args: None)
        (tmp_path / 'scenes.json').write_text('{"version": 4}')
        command = [
            '--method', 'cwd', 'logits_kd', '--seeds', '0', '1', '--iters',
            '10', '--data-root',
            str(tmp_path), '--work-dir',
            str(tmp_path / 'runs')
        ]
        methods.main(command)
        assert len(trained) == len(set(trained))
        said = capsys.readouterr().out
        assert f'run {len(trained)} of {len(trained)} of the series' in said
        found = json.loads((tmp_path / 'runs/cwd.json').read_text())
        assert found['equal_time'] == [35., 36.]
        assert found['summary']['gain'] == 0
        assert found['summary_at_equal_time']['gain'] == -5
        assert found['command'].endswith('--iters 10')
        assert found['scenes_version'] == 4 and len(found['code']) == 1
        before = len(trained)
        methods.main(command)
        assert len(trained) == before
        said = capsys.readouterr().out
        assert f'run {before} of {before} of the series is done' in said

    def test_order(self):
        """Each name comes after its needs; two work side by side."""
        both = threading.Barrier(2, timeout=30)

        def work(name):
            if name in 'bc':
                both.wait()
            return name * 2

        needs = dict(d=['b', 'c'], b=['a'], c=['a'], a=[])
        found = list(experiment._in_order(needs, work, 2))
        assert [name for name, _ in found][::3] == ['a', 'd']
        assert dict(found) == dict(a='aa', b='bb', c='cc', d='dd')

    def test_the_first_error_ends_it(self):
        seen = []

        def work(name):
            seen.append(name)
            if name == 'a':
                raise OSError('no disk')

        with pytest.raises(OSError, match='no disk'):
            list(experiment._in_order(dict(a=[], b=['a'], c=['b']), work, 1))
        assert seen == ['a']

    def test_circles_are_named(self):
        with pytest.raises(ValueError, match=r"\['a', 'b'\] wait"):
            list(
                experiment._in_order(
                    dict(a=['b'], b=['a'], c=[]), lambda name: None, 1))

    def test_choice_by_hand(self):
        choice = experiment.Choice(Grid('lr', (1, 2, 3)), ('x', 'y', 'z'))
        found = [dict(m=5.), dict(m=7.), dict(m=7.)]
        assert experiment._choose(choice, found, 'm')['chosen'] == 2
        alone = experiment.Choice(Grid('lr', (4, )), ())
        assert experiment._choose(alone, [], 'm') == dict(
            key='lr', values=[4], validation=[], chosen=4)


def test_cost_of_a_step(cityscapes, tmp_path):
    """Steps of both trainings are made, and only those."""
    from benchmarks.step_cost import step_cost
    from mmkd.testing import (distillation_config, segmentation_config,
                              segmentor)
    alone = segmentation_config(cityscapes, str(tmp_path / 'work'))
    teacher = dict(cfg=segmentor(64), ckpt='random')
    distilled = distillation_config(alone, dict(cwd=dict(type='CWD')),
                                    dict(teacher=teacher))
    runs = []
    for name, cfg in (('alone', alone), ('distilled', distilled)):
        cfg.dump(tmp_path / f'{name}.py')
        runs.append(
            SimpleNamespace(
                config=str(tmp_path / f'{name}.py'),
                settings=lambda: {'randomness.seed': 3},
                fast=False))
    found = step_cost(*runs, rounds=5, batches=2)
    assert found['ratio'] > 1 and found['error'] >= 0
    assert found['seconds']['distilled'] > found['seconds']['alone'] > 0
    assert sorted(x.name
                  for x in tmp_path.iterdir()) == ['alone.py', 'distilled.py']

    # With a cache: the share of steps that find nothing in it.
    images = len(list(Path(cityscapes).glob('leftImg8bit/train/**/*.png')))
    cache = {
        f'model.teachers.teacher.cache.{key}': value
        for key, value in dict(dir='none', dtype='fp16', views=2).items()
    }
    runs[1].settings = lambda: {'randomness.seed': 3, **cache}
    runs[1].iters = 4 * images
    found = step_cost(*runs, rounds=5, batches=2)
    share = 0.5 / alone.train_dataloader.batch_size
    assert found['misses'] == share
    assert found['ratio'] == pytest.approx((1 - share) * found['hit'] +
                                           share * found['miss'])
    assert not Path('none').exists()


class TestOverhead:

    def test_three_ways_do_the_same(self, overhead, tmp_path, capsys):
        out = tmp_path / 'results/overhead.json'
        result = overhead.main([
            '--method', 'bpkd', '--steps', '2', '--size', '32', '64',
            '--batch-size', '2', '--out',
            str(out)
        ])
        assert json.loads(out.read_text()) == result
        assert result['size'] == [32, 64] and result['threads'] == 1
        assert set(result['versions']) > {'torch', 'mmcv'}
        printed = capsys.readouterr().out
        for method, found in result['methods'].items():
            # Nothing is left out: the losses of the two are equal.
            assert found['largest_difference_of_losses'] < 1e-5, method
            for name in overhead.WAYS:
                times = found['seconds'][name]
                assert 0 < times['min'] <= times['median']
                memory = found['memory'][name]
                assert memory['tensors_left'] == 0, (method, name)
                assert memory['saved_tensors_left'] == 0, (method, name)
            saved = {
                name: memory['saved_for_backward_bytes']
                for name, memory in found['memory'].items()
            }
            assert 0 < saved['plain'] < saved['direct'], method
            assert saved['mmkd'] == saved['direct'], method
            files = found['checkpoint']
            for name in (method, 'with_connectors'):
                assert files[name]['over_student_and_connectors'] < 1.01
            assert files[method]['connectors'] == 0
            assert files['with_connectors']['connectors'] > 0
            assert files['teacher'] > 5 * files['student']
            assert f'\n{method} ' in printed

    @pytest.mark.parametrize('method', ['cwd', 'logits_kd'])
    def test_direct_loss_is_that_of_the_method(self, overhead, method):
        import torch

        from mmkd.testing import segmentation_batch
        ways = {
            way.name: way
            for way in overhead.make_ways(method,
                                          segmentation_batch(2, (32, 64)))
        }
        total = {}
        for name in ('direct', 'mmkd'):
            for _ in range(2):  # the second step sees what the first learnt
                torch.manual_seed(0)
                total[name] = float(ways[name].step()['loss'])
        assert total['mmkd'] == pytest.approx(total['direct'], rel=1e-5)

    def test_ratio_by_hand(self, overhead):
        # Ratios of the rounds: 2, 1, 1.5, 1; a slow round hits both.
        found = overhead.ratio_of([2.0, 1.0, 1.5, 10.0], [1.0, 1.0, 1.0, 10.0])
        assert found['paired'] == pytest.approx(1.25)
        assert found['min'] == pytest.approx(1.0)
        assert found['median'] == pytest.approx(1.75)
        assert found['paired_error'] == pytest.approx(0.5)

    def test_leaks_are_seen(self, overhead):
        """What the benchmark calls left is found where there is some."""
        import torch
        from torch import nn
        network = nn.Linear(4, 4)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        kept = []

        def step():
            inputs = torch.ones(2, 4)
            hidden = network(inputs).sigmoid()
            loss = hidden.sum()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            kept.append(hidden.detach())
            return dict(loss=loss)

        way = overhead.Way('plain', network, optimizer, step)
        found = overhead.measure_memory(way)
        assert found['tensors_left'] == 1
        assert found['tensors_left_bytes'] == 2 * 4 * 4

    def test_wrong_method(self, overhead, capsys):
        with pytest.raises(SystemExit):
            overhead.parse_args(['--method', 'bkpd'])
        assert 'bkpd' in capsys.readouterr().err


class TestGradientAgreement:

    @pytest.fixture(scope='class')
    def agreement(self):
        return script('gradient_agreement')

    def test_cosine_by_hand(self, agreement):
        import torch

        # Sums (2, 0) and (2, 2); each group left out leaves a direction of
        # its own: cosines 1 and 0 with (1, 0), so that half of ((1 - 1/2)^2
        # + (1/2)^2) is the variance.
        a = torch.tensor([[1., 0.], [1., 0.]], dtype=torch.float64)
        b = torch.tensor([[2., 0.], [0., 2.]], dtype=torch.float64)
        value, error = agreement.cosine(a, b)
        assert value == pytest.approx(2**-0.5)
        assert error == pytest.approx(0.5)

    def test_beyond_own_losses(self, agreement):
        import torch
        own = torch.tensor([[3., 0.], [1., 0.]])
        left = agreement.beyond(torch.tensor([[1., 2.], [3., 4.]]), own)
        assert left.tolist() == [[0., 2.], [0., 4.]]

    def test_batches_fall_into_groups(self, agreement):
        import torch
        batches = (dict(x=torch.tensor([float(i)])) for i in range(100))
        sums = agreement.sum_groups(batches, 20)['x']
        assert sums.flatten().tolist() == [4 * i + 1 for i in range(10)]
        assert next(batches)['x'] == 20

    def test_wrong_arguments(self, agreement, monkeypatch, tmp_path):
        from mmkd.errors import ConfigError
        monkeypatch.chdir(tmp_path)
        given = ['--teacher', 'random', '--student']
        with pytest.raises(ConfigError, match="no benchmark of 'bkpd'"):
            agreement.main(['--method', 'bkpd', *given, 'random'])
        with pytest.raises(ConfigError, match='2 or more'):
            agreement.main(
                ['--method', 'xray', *given, 'random', '--batches', '1'])
        with pytest.raises(ConfigError, match='none.pth is missing; train'):
            agreement.main(['--method', 'xray', *given, 'none.pth'])


def test_start_up_by_hand():
    summarise = script('start_up').summarise
    found = summarise(
        dict(
            mmdet=[(10., 5.), (20., 6.), (10., 7.)],
            mmkd=[(11., 6.), (30., 9.), (9., 8.)]))
    assert found['mmdet'] == dict(
        seconds=10., fastest=10., processor_seconds=6.)
    assert found['ratio'] == 1.1
    assert found['ratio_of_processor_seconds'] == round(8 / 6, 3)


class ShortRuns:
    """In place of a method of benchmarks/auto_weight.py: no training."""

    def __init__(self, name, scores):
        self.name, self.scores = name, scores
        self.entry = SimpleNamespace(tuning_seed=1000)

    def alone(self, seed, split):
        assert (seed, split) == (1000, 'val')
        return 0.

    def auto(self, ratio, seed, split):
        assert (seed, split) == (1000, 'val')
        return self.scores[ratio]

    def score(self, result):
        return result


def test_ratio_of_automatic_weights_weighs_methods_alike():
    methods = [
        ShortRuns('mAP of points', {
            .3: 10.,
            1.: 20.,
            3.: 15.
        }),
        ShortRuns('losses', {
            .3: -1.2,
            1.: -1.1,
            3.: -1.0
        }),
        ShortRuns('no difference', dict.fromkeys((.3, 1., 3.), 5.)),
    ]
    found = script('auto_weight').choose_ratio(methods, [.3, 1., 3.])
    assert found['mean'] == pytest.approx([0, .5, .5])
    assert found['chosen'] in (1., 3.)
    assert found['scores']['losses'] == [-1.2, -1.1, -1.0]


class TestStepTime:

    def test_all_ways_of_a_tiny_pair(self, tmp_path, monkeypatch, capsys):
        import torch
        from mmengine.config import Config

        from mmkd.testing import detector
        step_time = script('step_time')
        config = str(tmp_path / 'retinanet.py')
        Config(detector()).dump(config)
        monkeypatch.setitem(
            step_time.PAIRS, 'gfl',
            step_time.Pair(config, config, 'neck', 'neck', 'detection_batch'))
        threads = torch.get_num_threads()
        try:
            result = step_time.main([
                '--pair', 'gfl', '--rounds', '2', '--size', '64', '64',
                '--out',
                str(tmp_path / 'times.json')
            ])
        finally:
            torch.set_num_threads(threads)
        assert json.loads((tmp_path / 'times.json').read_text()) == result
        found = result['pairs']['gfl']
        assert found['weight_0_is_alone']
        losses = found['losses']
        assert losses['as it is'] == pytest.approx(losses['direct'], rel=1e-5)
        assert losses['default'] != losses['alone']
        over = found['over']['alone']
        assert set(over) == {
            'alone fast', 'direct', 'as it is', 'default', 'weight 0', 'fast',
            'cached', 'cached fast'
        }
        assert all(ratio['paired'] > 0 for ratio in over.values())
        assert 'alone fast' in capsys.readouterr().out


class TestDefaultOptions:

    def test_differences_by_hand(self):
        """Without training: what the runs give is made up."""
        from types import SimpleNamespace
        default_options = script('default_options')
        values = dict(default=(5., 6., 8.), as_it_is=(4., 6., 7.))

        def distilled(weight, kind, seed, split, options):
            assert (weight, split) == (2., 'test')
            assert bool(options) == (kind == 'as_it_is')
            assert all('teachers.teacher' in key for key in options)
            return dict(metric=values[kind][seed], loss=0.)

        method = SimpleNamespace(
            entry=SimpleNamespace(metric='mIoU'),
            tune=lambda: 2.,
            distilled=distilled)
        found = default_options.compare(method, [0, 1, 2])
        assert found['metric_difference'] == pytest.approx(2 / 3)
        assert found['metric_error'] == pytest.approx(1 / 3)
        assert found['metric_between_seeds'] == pytest.approx(1.5275, rel=1e-4)
        assert found['loss_difference'] == 0
        table = default_options.as_table(dict(x=found))
        assert '+0.667 +- 0.333' in table and 'task loss' in table


def test_cost_of_every_method(monkeypatch, tmp_path):
    """A part a pair, without the methods that do not serve it; the networks
    exist."""
    import mmkd.cli
    module = script('method_cost')
    calls = []

    def advise(args):
        calls.append(args)
        methods = [
            dict(method='CWD', reason='', time=1.5, memory=2.),
            dict(method='ND', reason='no RoI head', time=None, memory=None)
        ]
        Path(args[args.index('--json') + 1]).write_text(
            json.dumps(dict(methods=methods)))

    monkeypatch.setattr(mmkd.cli, 'call', advise)
    module.main(['--out', str(tmp_path)])
    found = json.loads((tmp_path / 'method_cost.json').read_text())['pairs']
    assert [x['method'] for x in found['GFL']] == ['CWD']
    assert list(found) == list(module.PAIRS)
    for name, student, _, teacher, *_ in calls:
        assert name == 'advise'
        assert (ROOT / student).is_file() and (ROOT / teacher).is_file()
