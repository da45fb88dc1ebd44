"""CamVid: the converter, the recipes, and the label-free benchmark."""
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmkd.errors import ConfigError, DataError
from mmkd.registry import HOOKS, MODELS
from mmkd.testing import segmentation_batch

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs/camvid'


def script(path):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(
        Path(path).stem, ROOT / f'{path}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def camvid():
    return script('tools/datasets/camvid')


@pytest.fixture(scope='module')
def label_free():
    return script('benchmarks/label_free')


@pytest.fixture
def tutorial(tmp_path):
    """Two images a split in the layout of SegNet's tutorial."""
    rng = np.random.default_rng(0)
    for split in ('train', 'val', 'test'):
        for folder in (split, f'{split}annot'):
            (tmp_path / 'segnet' / folder).mkdir(parents=True)
        for i in range(2):
            # Of the test images, one is of the new sequence.
            name = f'Seq05VD_{split}{i}' if i else f'0001TP_{split}{i}'
            image = rng.integers(0, 256, (36, 48, 3), np.uint8)
            cv2.imwrite(str(tmp_path / f'segnet/{split}/{name}.png'), image)
            label = rng.integers(0, 12, (36, 48), np.uint8)
            cv2.imwrite(
                str(tmp_path / f'segnet/{split}annot/{name}.png'), label)
    return tmp_path / 'segnet'


class TestConverter:

    def test_converts(self, camvid, tutorial, tmp_path, capsys):
        camvid.main([str(tutorial), str(tmp_path / 'camvid')])
        assert 'val: 2 images; CamVid has 101' in capsys.readouterr().out
        name = '0001TP_train0.png'
        before, after = (
            cv2.imread(str(path / name), cv2.IMREAD_UNCHANGED)
            for path in (tutorial / 'trainannot',
                         tmp_path / 'camvid/ann_dir/train'))
        assert (before == 11).any()
        assert (after == np.where(before == 11, 255, before)).all()

    def test_faults(self, camvid, tutorial, tmp_path):
        with pytest.raises(ConfigError, match='no folder .*img_dir/train'):
            camvid.main([str(tutorial)])
        target = tmp_path / 'camvid'
        camvid.convert(tutorial, target)
        label = target / 'ann_dir/val/0001TP_val0.png'
        cv2.imwrite(str(label), np.full((36, 48), 11, np.uint8))
        with pytest.raises(DataError, match='val0.png holds 11'):
            camvid.check(target)
        cv2.imwrite(str(label), np.zeros((36, 47), np.uint8))
        with pytest.raises(DataError, match='has .47, 36. pixels'):
            camvid.check(target)
        label.unlink()
        with pytest.raises(DataError, match='has no label map'):
            camvid.check(target)

    def test_config_reads_it(self, camvid, tutorial, tmp_path, monkeypatch):
        camvid.convert(tutorial, tmp_path / 'camvid')
        monkeypatch.setenv('CAMVID', str(tmp_path / 'camvid'))
        cfg = Config.fromfile(CONFIGS / 'deeplabv3plus_r18w16-d16_camvid.py')
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            with DefaultScope.overwrite_default_scope('mmseg'):
                dataset = DATASETS.build(loader.dataset)
                sample = dataset[0]['data_samples']
            assert len(dataset) == 2
            values = sample.gt_sem_seg.data.unique().tolist()
            assert set(values) <= {*range(camvid.CLASSES), 255}
        assert len(cfg.metainfo.classes) == len(
            cfg.metainfo.palette) == camvid.CLASSES


@pytest.mark.parametrize(
    'path',
    sorted(CONFIGS.glob('*_deeplabv3plus-*_deeplabv3plus-*.py')),
    ids=lambda path: path.stem.split('_')[0])
def test_recipe_makes_a_step(path, monkeypatch):
    """With the networks of the recipe, on two small images."""
    monkeypatch.chdir(ROOT)
    cfg = Config.fromfile(path)
    cfg.model.student.data_preprocessor.size = (48, 64)
    cfg.model.dry_run_size = (48, 64)
    teacher = cfg.model.teachers.teacher
    teacher.ckpt = 'random'
    teacher.cfg = Config.fromfile(teacher.cfg)
    teacher.cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    for hook in cfg.get('custom_hooks', []):
        hook = HOOKS.build(hook)
        hook.before_train(
            SimpleNamespace(model=model, iter=0, _has_loaded=False))
        assert not sum(found.left for found in hook.report.values())
    data = model.data_preprocessor(
        segmentation_batch(2, (48, 64), num_classes=11), True)
    losses = model(**data, mode='loss')
    sum(v.sum() for k, v in losses.items() if 'loss' in k).backward()
    weights = [losses[key] for key in losses if key.endswith('.weight')]
    assert bool(weights) == bool(model.distillers)
    assert all(weight.isfinite() for weight in weights)
    weight = next(model.student.backbone.parameters())
    assert weight.grad.abs().sum() > 0


class TestPlan:

    @pytest.fixture
    def plan(self, label_free):
        return label_free.Plan([.1, 1.], [0, 1], [1e-3, 1e-2], 300, 100, 80,
                               1.5)

    def test_equal_time(self, plan):
        assert plan.length('distilled') == 300
        assert plan.length('scratch') == 450
        cost = plan.cost(plan.phase(0)) + plan.cost(
            plan.supervised('distilled', 1., 0, 1e-3))
        assert cost == plan.cost(plan.supervised('scratch', 1., 0, 1e-3))

    def test_same_tries(self, plan):
        for arm in ('scratch', 'distilled'):
            tries = plan.tuning(arm)
            assert [x.rate for x in tries] == [1e-3, 1e-2]
            assert {(x.share, x.seed, x.tuning)
                    for x in tries} == {(.1, 0, True)}

    def test_trainings(self, plan):
        names = [x.name for x in plan.trainings(dict(scratch=1e-2))]
        # A phase and two tries of each arm; of each seed a phase and two
        # arms with two shares.
        assert len(set(names)) == len(names) == 1 + 2 * 2 + 2 * (1 + 2 * 2)
        assert names[:2] == [
            'tune_label-free_seed0', 'tune_scratch_0.1_lr0.001_seed0'
        ]
        assert {'scratch_1_lr0.01_seed1',
                'distilled_1_lr0.001_seed1'} < {*names}

    def test_a_single_rate_is_not_tuned(self, plan):
        plan.rates = [1e-2]
        assert not any(x.tuning for x in plan.trainings({}))

    def test_labels(self, label_free):
        names = [f'{i:03}' for i in range(40)]
        tenth, quarter = (
            label_free.labelled_part(names, share, 1) for share in (.1, .25))
        assert len(tenth) == 4 and len(quarter) == 10
        assert set(tenth) < set(quarter)
        assert tenth == label_free.labelled_part(names, .1, 1)
        assert tenth != label_free.labelled_part(names, .1, 2)
        assert label_free.labelled_part(names, 1, 0) == names


def test_table(label_free, tmp_path, capsys):
    # Gains 1, 2, 3: mean 2, error 1 / sqrt(3).
    row = dict(share=.1, images=37)
    for arm, values in (('scratch', [30., 31.,
                                     32.]), ('distilled', [31., 33., 35.])):
        row[arm] = {name: values for name in label_free.METRICS}
        row[arm]['processor_minutes'] = [4., 4., 4.]
    row['gain'] = {
        name: label_free.paired(row['distilled'][name], row['scratch'][name])
        for name in label_free.METRICS
    }
    (tmp_path / 'label_free.json').write_text(json.dumps(dict(rows=[row])))
    label_free.main(['--table', '--out', str(tmp_path)])
    printed = capsys.readouterr().out
    assert ('| 37 images | mIoU | 30.0, 31.0, 32.0 | 31.0, 33.0, 35.0 | '
            '+2.00 ± 0.58 | 4.0 / 4.0 |') in printed
    assert '| Seq05VD, mIoU |' in printed


def test_needs_data(label_free, monkeypatch):
    monkeypatch.delenv('MMKD_REAL_DATA', raising=False)
    with pytest.raises(ConfigError, match='set MMKD_REAL_DATA'):
        label_free.main([])


def test_series(label_free, camvid, tutorial, tmp_path, monkeypatch, capsys):
    """Two iterations of all, on made-up images."""
    from mmseg.models.backbones import MobileNetV2
    data = tmp_path / 'data'
    camvid.convert(tutorial, data / 'camvid')
    for folder in ('coco_small/images', 'coco_small/annotations', 'weights'):
        (data / folder).mkdir(parents=True)
    names = [f'{i}.png' for i in range(14)]
    for name in names:
        cv2.imwrite(
            str(data / 'coco_small/images' / name),
            np.zeros((24, 32, 3), np.uint8))
    (data / 'coco_small/annotations/instances_train.json').write_text(
        json.dumps(dict(images=[dict(file_name=name) for name in names])))
    torch.save(
        dict(state_dict=MobileNetV2(out_indices=(2, 4, 6)).state_dict()),
        data / 'weights/mobilenetv2_mmseg.pth')
    monkeypatch.setenv('MMKD_REAL_DATA', str(data))
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work/costs.json').write_text(
        json.dumps(dict(seconds={}, ratio=1.)))
    command = [
        '--shares', '1', '--seeds', '0', '--rates', '1e-3', '--epochs', '1',
        '--iters', '2', '--work-dir',
        str(tmp_path / 'work'), '--out',
        str(tmp_path)
    ]
    label_free.main(command)
    assert '[3/3] distilled_1_lr0.001_seed0: 2 iterations' in \
        capsys.readouterr().out
    result = json.loads((tmp_path / 'label_free.json').read_text())
    assert result['iters'] == dict(label_free=1, scratch=3, distilled=2)
    assert len(result['code']) == 1
    row, = result['rows']
    assert row['gain']['mIoU']['standard_error'] is None
    assert len(row['distilled']['Seq05VD/mIoU']) == 1
    for file in (tmp_path / 'work').glob('*/done.json'):
        # Older trainings do not say that they were not fast.
        done = json.loads(file.read_text())
        del done['settings']['fast']
        file.write_text(json.dumps(done))
    label_free.main(command)
    assert 'iterations' not in capsys.readouterr().out
    tunes_on_a_sequence_of_its_own(label_free, command, data, monkeypatch)
    trains_both_arms_in_the_fast_mode(label_free, command, data)


def trains_both_arms_in_the_fast_mode(label_free, command, data):
    """With costs of its own, and not over a series in the other mode."""
    args = label_free.parse_args([*command, '--fast'])
    Path(args.work_dir,
         'costs_fast.json').write_text(json.dumps(dict(seconds={}, ratio=2.)))
    series = label_free.Series(args, data)
    assert series.plan.ratio == 2
    for training in series.plan.trainings({}):
        cfg = series._prepared(training)
        part = cfg.model if training.arm == 'label-free' else cfg
        assert part.channels_last and 'Amp' in cfg.optim_wrapper.type
    with pytest.raises(ConfigError, match='other settings'):
        series.train(series.plan.phase(0))
    assert label_free._command(args).endswith('--iters 2 --fast')


def tunes_on_a_sequence_of_its_own(label_free, command, data, monkeypatch):
    """It goes without the held-out images, and the better rate wins."""
    monkeypatch.setattr(label_free, 'HELD_OUT', 'Seq05VD')
    series = label_free.Series(
        label_free.parse_args([*command, '--rates', '1e-3', '1e-2']), data)
    phase = series._config(series.plan.phase(0, tuning=True))
    training = series.plan.tuning('distilled')[1]
    labels = series._config(training).train_dataloader.dataset.ann_file
    for path in (labels, phase.label_free.data):
        listed = Path(path).read_text()
        assert '0001TP' in listed and 'Seq05VD' not in listed
    scores = {1e-3: 1., 1e-2: 2.}
    monkeypatch.setattr(series, 'score',
                        lambda training: dict(mIoU=scores[training.rate]))
    assert series.tune('scratch') == dict(
        rates=[1e-3, 1e-2], held_out=[1., 2.], chosen=1e-2)
