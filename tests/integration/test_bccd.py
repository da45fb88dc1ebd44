"""BCCD: the converter, the recipes, and the entries of the benchmark."""
import copy
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from benchmarks.entry import ENTRIES, Entry
from benchmarks.experiment import Experiment
from mmkd.apis import build_runner, prepare_training
from mmkd.errors import ConfigError, DataError
from mmkd.registry import HOOKS, MODELS
from mmkd.testing import detection_batch

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs/bccd'
RECIPES = sorted(CONFIGS.glob('*_gfl-mobilenet-v2_*.py'))
UNLABELLED = [path for path in RECIPES if '-unlabelled_' in path.name]
INHERIT = [path for path in RECIPES if path.name.startswith('inherit')]
OBJECT = ('<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin>'
          '<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>')


@pytest.fixture(scope='module')
def bccd():
    spec = importlib.util.spec_from_file_location(
        'bccd', ROOT / 'tools/datasets/bccd.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def repository(tmp_path):
    """Two images a split in the layout of the repository."""
    source = tmp_path / 'BCCD'
    for folder in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (source / folder).mkdir(parents=True)
    objects = [('RBC', 4, 6, 34, 26), ('WBC', 20, 8, 60, 40),
               ('Platelets', 9, 9, 9, 14)]
    annotation = ''.join(OBJECT.format(*x) for x in objects)
    for split in ('train', 'val', 'test'):
        names = [f'{split}{i}' for i in range(2)]
        (source / f'ImageSets/Main/{split}.txt').write_text('\n'.join(names))
        for name in names:
            Image.fromarray(np.zeros(
                (48, 64, 3), np.uint8)).save(source / f'JPEGImages/{name}.jpg')
            (source / f'Annotations/{name}.xml'
             ).write_text(f'<annotation>{annotation}</annotation>')
    return source


class TestConverter:

    def test_config_reads_it(self, bccd, repository, tmp_path, monkeypatch,
                             capsys):
        bccd.main([str(repository), str(tmp_path / 'bccd')])
        assert ('val: 2 images, 2 RBC, 2 WBC, 0 Platelets; BCCD has 87'
                in capsys.readouterr().out)
        monkeypatch.setenv('BCCD', str(tmp_path / 'bccd'))
        cfg = Config.fromfile(CONFIGS / 'gfl_r18w8_fpn_bccd.py')
        assert tuple(cfg.metainfo.classes) == bccd.CLASSES
        for loader in (cfg.train_dataloader, cfg.test_dataloader):
            with DefaultScope.overwrite_default_scope('mmdet'):
                dataset = DATASETS.build(loader.dataset)
            assert len(dataset) == 2
            boxes = dataset.get_data_info(1)['instances']
            assert [x['bbox'] for x in boxes] == [[4, 6, 34, 26],
                                                  [20, 8, 60, 40]]
            assert [x['bbox_label'] for x in boxes] == [0, 1]
            assert len(dataset[0]['data_samples'].gt_instances)

    def test_faults(self, bccd, repository, tmp_path):
        with pytest.raises(ConfigError, match='no list of images'):
            bccd.convert(tmp_path, tmp_path / 'bccd')
        path = repository / 'Annotations/val1.xml'
        for text, message in (('<annotation>', 'cannot read .*val1.xml'),
                              ('<a><object><name>RBC</name></object></a>',
                               'val1.xml has a RBC without a box'),
                              (f'<a>{OBJECT.format("cat", 1, 2, 3, 4)}</a>',
                               "object 'cat'; the classes are RBC")):
            path.write_text(text)
            with pytest.raises(DataError, match=message):
                bccd.convert(repository, tmp_path / 'bccd')
        (repository / 'JPEGImages/train0.jpg').unlink()
        with pytest.raises(DataError, match='no image .*train0.jpg'):
            bccd.convert(repository, tmp_path / 'bccd')

    def test_files(self, bccd, repository, tmp_path):
        bccd.convert(repository, tmp_path / 'bccd')
        path = tmp_path / 'bccd/annotations/test.json'
        content = json.loads(path.read_text())
        assert [x['name'] for x in content['categories']] == [*bccd.CLASSES]
        assert content['images'][1] == dict(
            id=1, file_name='test1.jpg', width=64, height=48)
        assert content['annotations'][-1] == dict(
            id=4,
            image_id=1,
            category_id=2,
            bbox=[20, 8, 40, 32],
            area=1280,
            iscrowd=0)


def with_random_teacher(path):
    cfg = Config.fromfile(path)
    cfg.model.dry_run_size = (64, 96)
    teacher = cfg.model.teachers.teacher
    teacher.ckpt = 'random'
    teacher.cfg = Config.fromfile(teacher.cfg)
    teacher.cfg.model.backbone.init_cfg = None
    return cfg


@pytest.mark.parametrize(
    'path', [x for x in RECIPES if x not in UNLABELLED],
    ids=lambda path: path.stem.split('_')[0])
def test_recipe_makes_a_step(path, monkeypatch):
    """With the networks of the recipe, on two small images."""
    monkeypatch.chdir(ROOT)
    cfg = with_random_teacher(path)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        assert model.distillers or path in INHERIT
        for hook in cfg.get('custom_hooks', []):
            hook = HOOKS.build(hook)
            hook.before_train(
                SimpleNamespace(model=model, iter=0, _has_loaded=False))
            assert not sum(found.left for found in hook.report.values())
        data = model.data_preprocessor(
            detection_batch(2, (64, 96), num_classes=3), True)
        losses = model(**data, mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    for distiller in model.distillers:
        assert losses[f'{distiller}.weight'] > 0
    weight = next(model.student.backbone.parameters())
    assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    'path', UNLABELLED, ids=lambda path: path.stem.split('_')[0])
def test_unlabelled_images_are_distilled(path, bccd, repository, tmp_path,
                                         monkeypatch):
    bccd.convert(repository, tmp_path / 'bccd')
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv('BCCD', str(tmp_path / 'bccd'))
    monkeypatch.setenv('UNLABELLED',
                       str(tmp_path / 'bccd/annotations/train.txt'))
    cfg = with_random_teacher(path)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.train_dataloader.update(
        batch_size=2, num_workers=0, persistent_workers=False)
    cfg.checks = False
    runner = build_runner(prepare_training(cfg))
    batch = next(iter(runner.build_dataloader(cfg.train_dataloader)))
    assert len(batch['inputs']) == 4
    model = runner.model.eval()
    distiller, = model.distillers

    def losses():
        data = model.data_preprocessor(copy.deepcopy(batch), True)
        _, found = model.parse_losses(model(**data, mode='loss'))
        return {key: float(value) for key, value in found.items()}

    before = losses()
    for image in batch['inputs'][2:]:
        image.copy_(255 - image)
    after = losses()
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {'loss', f'{distiller}.loss'}


def test_entries_have_recipes():
    """Each recipe without unlabelled images has an entry, tuned as often as
    the student alone."""
    entries = [
        Entry.load(path.stem, '/d') for path in ENTRIES.glob('bccd_*.py')
    ]
    assert {ROOT / x.distilled.config
            for x in entries} == {*RECIPES} - {*UNLABELLED}
    for entry in entries:
        assert len(entry.distilled_grid.values) == len(
            entry.student_grid.values)
        cfg = Config.fromfile(ROOT / entry.distilled.config)
        keys = [
            f'model.distillers.{distiller}.loss_weight.ratio'
            for distiller in cfg.model.distillers
        ]
        assert [entry.distilled_grid.key] == (
            keys or ['optim_wrapper.optimizer.lr'])
        plan = Experiment(entry, [0])
        assert plan.nodes[plan.teacher].options[
            'model.backbone.init_cfg.checkpoint'] == \
            '/d/../weights/mobilenetv2_mmdet.pth'
