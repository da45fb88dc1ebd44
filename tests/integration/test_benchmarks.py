"""The benchmarks: their arithmetic, their errors, and a tiny step time."""
import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def script(name):
    """A script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(
        name, ROOT / f'benchmarks/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def methods():
    return script('methods')


@pytest.fixture(scope='module')
def step_time():
    return script('step_time')


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

    def test_entries_can_be_read(self):
        from mmengine.config import Config
        entries = sorted((ROOT / 'benchmarks/entries').glob('*.py'))
        for path in entries:
            entry = Config.fromfile(path)
            if 'method' not in entry:
                continue
            assert path.stem == entry.method
            for part in (entry.teacher, entry.student, entry.distilled,
                         *entry.get('more_teachers', {}).values()):
                config = Config.fromfile(ROOT / part.config)
                assert 'model' in config
            if 'pretrained' in entry:
                source = Config.fromfile(ROOT / 'benchmarks/entries' /
                                         f'{entry.pretrained.entry}.py')
                assert set(source.formats) <= set(entry.formats)
                begin = [
                    part for part in (entry.teacher, entry.student,
                                      *entry.get('more_teachers', {}).values())
                    if part.get('pretrained')
                ]
                assert begin
                for part in begin:
                    model = Config.fromfile(ROOT / part.config).model
                    assert entry.pretrained.module in model.get(
                        'student', model)
            # Files of the validation scenes lie where the config has them.
            config = Config.fromfile(ROOT / entry.student.config)
            config.merge_from_dict(entry.splits.val)
            tested, validated = (
                loader.dataset.get('data_prefix', {})
                for loader in (config.test_dataloader, config.val_dataloader))
            assert {k: tested.get(k) for k in validated} == validated
            # As many values are tried for the student alone.
            (own, ), (alone, ) = (entry.distilled_grid.values(),
                                  entry.student_grid.values())
            assert len(own) <= len(alone)
            (key, ) = entry.distilled_grid
            *path_to, last = key.split('.')
            place = Config.fromfile(ROOT / entry.distilled.config)
            for name in path_to:
                place = place[name]
            assert last == 'loss_weight' or last in place

    def test_settings_of_the_student_are_those_of_the_distilled_one(self):
        assert script('entry').of_student({
            'model.neck.width': 8,
            'train_dataloader.batch_size': 2
        }) == {
            'model.student.neck.width': 8,
            'train_dataloader.batch_size': 2
        }


class TestStepTime:

    def test_three_ways_do_the_same(self, step_time, tmp_path, capsys):
        out = tmp_path / 'results/step_time.json'
        result = step_time.main([
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
            for name in step_time.WAYS:
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
    def test_direct_loss_is_that_of_the_method(self, step_time, method):
        import torch

        from mmkd.testing import segmentation_batch
        ways = {
            way.name: way
            for way in step_time.make_ways(method,
                                           segmentation_batch(2, (32, 64)))
        }
        total = {}
        for name in ('direct', 'mmkd'):
            for _ in range(2):  # the second step sees what the first learnt
                torch.manual_seed(0)
                total[name] = float(ways[name].step()['loss'])
        assert total['mmkd'] == pytest.approx(total['direct'], rel=1e-5)

    def test_ratio_by_hand(self, step_time):
        # Ratios of the rounds: 2, 1, 1.5, 1; a slow round hits both.
        found = step_time.ratio_of([2.0, 1.0, 1.5, 10.0],
                                   [1.0, 1.0, 1.0, 10.0])
        assert found['paired'] == pytest.approx(1.25)
        assert found['min'] == pytest.approx(1.0)
        assert found['median'] == pytest.approx(1.75)
        assert found['paired_error'] == pytest.approx(0.5)

    def test_leaks_are_seen(self, step_time):
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

        way = step_time.Way('plain', network, optimizer, step)
        found = step_time.measure_memory(way)
        assert found['tensors_left'] == 1
        assert found['tensors_left_bytes'] == 2 * 4 * 4

    def test_wrong_method(self, step_time, capsys):
        with pytest.raises(SystemExit):
            step_time.parse_args(['--method', 'bkpd'])
        assert 'bkpd' in capsys.readouterr().err


class TestBaselines:

    @pytest.fixture
    def runs(self, monkeypatch):
        """What would be trained; each scores its iterations."""
        from mmkd.experiment import Run
        made = []

        def train(run):
            made.append(run)
            return run

        monkeypatch.setattr(Run, 'train', train)
        monkeypatch.setattr(
            Run, 'test', lambda run: {
                'coco/bbox_mAP': run.iters / 1e4,
                'coco/bbox_mAP_50': .5,
                'mIoU': run.iters / 1e2,
                'mBIoU': 1.
            })
        return made

    def run(self, entry, tmp_path, *more):
        script('baselines').main([
            '--entry', entry, '--data-root', 'none', '--work-dir',
            str(tmp_path / 'work'), '--out',
            str(tmp_path), '--jobs', '1', *more
        ])
        return json.loads((tmp_path / f'baselines_{entry}.json').read_text())

    def test_schedules_are_the_same(self, runs, tmp_path, capsys):
        result = self.run('retinanet_scenes', tmp_path)
        assert result['iters'] == {
            'student': 1000,
            'half the training': 500,
            'teacher': 1000,
            'teacher, a quarter of the data': 1000
        }
        assert result['scores']['half the training'] == {
            'coco/bbox_mAP': pytest.approx(5),
            'coco/bbox_mAP_50': 50
        }
        assert result['gap'] == 0
        less = [run for run in runs if run.name == 'base_less_data']
        assert less[0].options['train_dataloader.dataset.indices'] == 165
        assert 'half the training' in capsys.readouterr().out

    def test_schedules_differ(self, runs, tmp_path):
        result = self.run('deeplabv3plus_scenes', tmp_path)
        assert result['iters']['teacher'] == 1500
        assert result['iters']["the teacher's width"] == 600
        assert result['gap'] == pytest.approx(9)
        wide, student = [
            next(run for run in runs if run.name == name)
            for name in ('base_wide', 'base_student')
        ]
        assert wide.options == student.options


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
