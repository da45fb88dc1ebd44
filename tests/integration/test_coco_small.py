"""The part of COCO: the script, recipes, and entries of the benchmark."""
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from benchmarks.entry import ENTRIES, Entry
from benchmarks.experiment import Experiment
from mmkd.apis import build_runner, prepare_training
from mmkd.errors import ConfigError, DataError
from mmkd.registry import MODELS
from mmkd.testing import detection_batch

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs/coco_small'
RECIPES = sorted(CONFIGS.glob('*_yolox-nano_*.py'))
UNLABELLED, = CONFIGS.glob('*-unlabelled_*.py')


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Two images to train and four others, with two classes."""
    for folder in ('images', 'annotations', 'photos'):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    categories = [dict(id=1, name='person'), dict(id=18, name='dog')]
    for split, numbers in (('train', (0, 1)), ('val', (2, 3, 4, 5))):
        images, annotations = [], []
        for number in numbers:
            name = f'{number}.jpg'
            Image.fromarray(rng.integers(0, 256, (72, 96, 3), np.uint8)).save(
                tmp_path / 'images' / name)
            images.append(dict(id=number, file_name=name, width=96, height=72))
            annotations += [
                dict(
                    id=len(annotations) + i,
                    image_id=number,
                    category_id=category['id'],
                    bbox=[8 + 4 * i, 9, 40, 50],
                    area=2000,
                    iscrowd=0) for i, category in enumerate(categories)
            ]
        (tmp_path / f'annotations/{split}.json').write_text(
            json.dumps(
                dict(
                    images=images,
                    annotations=annotations,
                    categories=categories)))
    Image.new('RGB', (80, 80)).save(tmp_path / 'photos/a.jpg')
    monkeypatch.setenv('COCO_SMALL', str(tmp_path))
    monkeypatch.setenv('UNLABELLED', str(tmp_path / 'photos'))
    monkeypatch.chdir(ROOT)
    return tmp_path


class TestScript:

    @pytest.fixture
    def coco_small(self, monkeypatch, tmp_path):
        """The script, for two images."""
        spec = importlib.util.spec_from_file_location(
            'coco_small', ROOT / 'tools/datasets/coco_small.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        counts = {
            split: len(set(numbers))
            for split, numbers in json.loads(
                module.NUMBERS.read_text()).items()
        }
        assert counts == dict(train=208, val=206)
        numbers = tmp_path / 'numbers.json'
        numbers.write_text(json.dumps(dict(train=[7], val=[8])))
        monkeypatch.setattr(module, 'NUMBERS', numbers)
        return module

    @pytest.fixture
    def coco(self, tmp_path):
        """An image of 832x400 a split, and another one."""
        source = tmp_path / 'coco'
        (source / 'annotations').mkdir(parents=True)
        for split, number in (('train', 7), ('val', 8)):
            images = [
                dict(id=i, file_name=f'{i}.jpg', width=832, height=400)
                for i in (number, 9)
            ]
            annotations = [
                dict(
                    id=i,
                    image_id=x['id'],
                    category_id=1,
                    iscrowd=0,
                    bbox=[100, 20, 40, 60],
                    area=2000,
                    segmentation=[]) for i, x in enumerate(images)
            ]
            (source / f'annotations/instances_{split}2017.json').write_text(
                json.dumps(
                    dict(
                        images=images,
                        annotations=annotations,
                        categories=[dict(id=1, name='person')])))
            (source / f'{split}2017').mkdir()
            Image.new('RGB',
                      (832, 400)).save(source / f'{split}2017/{number}.jpg')
        return source

    def test_scales(self, coco_small, coco, tmp_path, capsys):
        target = tmp_path / 'small'
        coco_small.main([str(coco), str(target)])
        assert 'val: 1 images, 1 boxes' in capsys.readouterr().out
        content = json.loads((target / 'annotations/train.json').read_text())
        assert content['images'] == [
            dict(id=7, file_name='7.jpg', width=416, height=200)
        ]
        assert content['annotations'] == [
            dict(
                id=0,
                image_id=7,
                category_id=1,
                iscrowd=0,
                bbox=[50, 10, 20, 30],
                area=500)
        ]
        with Image.open(target / 'images/7.jpg') as image:
            assert image.size == (416, 200)

    def test_faults(self, coco_small, coco, tmp_path):
        target = tmp_path / 'small'
        with pytest.raises(ConfigError, match='no file .*instances_train'):
            coco_small.convert(tmp_path, target)
        (coco / 'val2017/8.jpg').unlink()
        with pytest.raises(DataError, match='no image .*val2017/8.jpg'):
            coco_small.convert(coco, target)
        coco_small.NUMBERS.write_text('{"train": [6]}')
        with pytest.raises(DataError, match='train2017.json has no image 6'):
            coco_small.convert(coco, target)
        path = coco / 'annotations/instances_train2017.json'
        path.write_text(path.read_text()[:-9])
        with pytest.raises(DataError, match='train2017.json is not JSON'):
            coco_small.convert(coco, target)


def test_halves_are_tested(data):
    """Validation and test have half of the images each, and their boxes."""
    cfg = Config.fromfile(CONFIGS / 'yolox-slim_coco-small.py')
    found = []
    with DefaultScope.overwrite_default_scope('mmdet'):
        for loader, part in ((cfg.val_dataloader, 2), (cfg.test_dataloader,
                                                       -2)):
            loader.dataset.indices = part
            dataset = DATASETS.build(loader.dataset)
            samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
            found.append([x.img_id for x in samples])
            evaluator = Evaluator(cfg.test_evaluator)
            evaluator.dataset_meta = dataset.metainfo
            for sample in samples:
                truth = sample.gt_instances
                truth.scores = truth.labels.new_ones(len(truth)).float()
                truth.bboxes = truth.bboxes.tensor
                sample.pred_instances = truth
            evaluator.process([x.to_dict() for x in samples])
            assert evaluator.evaluate(2)['coco/bbox_mAP'] == 1
    assert found == [[2, 3], [4, 5]]


def with_random_teacher(path):
    cfg = Config.fromfile(path)
    cfg.model.dry_run_size = (64, 64)
    cfg.model.teachers.teacher.ckpt = 'random'
    return cfg


@pytest.mark.parametrize(
    'path', [path for path in RECIPES if path != UNLABELLED],
    ids=lambda path: path.stem.split('_')[0])
def test_recipe_makes_a_step(path, monkeypatch):
    """With the networks of the recipe, on two small images."""
    monkeypatch.chdir(ROOT)
    cfg = with_random_teacher(path)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model).train()
        batch = model.data_preprocessor(
            detection_batch(2, (64, 64), num_classes=5), True)
        losses = model(**batch, mode='loss')
    model.parse_losses(losses)[0].backward()
    # One method, or the teacher's weights alone.
    assert len([*model.distillers, *cfg.get('custom_hooks', [])]) == 1
    assert all(losses[f'{name}.weight'] > 0 for name in model.distillers)
    *_, weight = model.student.backbone.parameters()
    assert weight.grad.abs().sum() > 0


def test_unlabelled_images_are_distilled(data):
    cfg = with_random_teacher(UNLABELLED)
    cfg.work_dir = str(data / 'work')
    cfg.train_dataloader.update(
        batch_size=2, num_workers=0, persistent_workers=False)
    cfg.unlabelled.size = 64
    cfg.train_dataloader.dataset.pipeline[2].scale = (64, 64)
    cfg.train_dataloader.dataset.pipeline[3].crop_size = (64, 64)
    cfg.checks = False
    runner = build_runner(prepare_training(cfg))
    loader = runner.build_dataloader(cfg.train_dataloader)
    batch = next(iter(loader))
    assert len(batch['inputs']) == 4
    losses = runner.model.train_step(
        batch, runner.build_optim_wrapper(runner.optim_wrapper))
    assert losses['feature_kd.weight'] > 0


def test_entries_have_recipes():
    """Each recipe has an entry, tuned as often as the student alone, with the
    teacher as it comes."""
    entries = [
        Entry.load(path.stem, '/d') for path in ENTRIES.glob('coco_*.py')
        if 'method' in Config.fromfile(path)
    ]
    assert {ROOT / x.distilled.config for x in entries} == {*RECIPES}
    for entry in entries:
        assert len(entry.distilled_grid.values) == len(
            entry.student_grid.values)
        plan = Experiment(entry, [0], iters=5)
        assert plan.teacher is None and plan.teachers == []
        assert plan.length(entry.teacher) is None
        options = plan.nodes[plan.distilled[0]].options
        assert options['model.teachers.teacher.ckpt'] == \
            '/d/../weights/yolox_nano_mmdet.pth'
