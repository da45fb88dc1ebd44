"""The recipes of TransKD: their facts, and the data that they read."""
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

CONFIGS = Path(__file__).parents[2] / 'configs/transkd'
RECIPES = sorted(CONFIGS.glob('*.py'))
BASES = sorted((CONFIGS / '_base_').glob('*.py'))


def write(path, pixels):
    """Write an image, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.asarray(pixels, np.uint8))


def build(dataset, root):
    """Build the data set of a config with its files under ``root``."""
    for part in dataset.get('datasets', [dataset]):
        part.data_root = str(root)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build(dataset)


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_facts(path):
    config = Config.fromfile(path)
    variant = path.stem.split('_')[0].split('-')[1]
    (name, method), = config.model.distillers.items()
    assert name == 'transkd' and method.pop('type') == 'TransKD'
    assert dict(method) == ({} if variant == 'base' else dict(variant=variant))
    teacher = config.model.teachers.teacher
    teacher_cfg = Config.fromfile(teacher.cfg) if Path(
        teacher.cfg).is_file() else None
    student = config.model.student
    # The student begins from scratch; the teacher is of the same family.
    assert student.backbone.init_cfg is None
    assert student.get('pretrained') is None
    assert student.backbone.embed_dims == 32
    assert list(student.backbone.num_layers) == [2, 2, 2, 2]
    if teacher_cfg is None:
        assert 'mit-b2' in teacher.cfg and teacher.ckpt == 'official'
    else:
        backbone = teacher_cfg.model.backbone
        assert backbone.type == student.backbone.type
        assert backbone.embed_dims == 64
        assert list(backbone.num_layers) == [3, 4, 6, 3]
        assert backbone.init_cfg.checkpoint.startswith('https://')
        assert teacher_cfg.model.decode_head.num_classes == (
            student.decode_head.num_classes)
        assert teacher.ckpt.startswith('checkpoints/')
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr,
            optimizer.weight_decay) == ('AdamW', 6e-5, 0.01)
    iters = int(path.stem.split('k_')[-2].split('_')[-1]) * 1000
    assert config.train_cfg.max_iters == iters
    assert config.param_scheduler[-1].end == iters
    # Images come in the size that the preprocessor pads to.
    steps = {s.type: s for s in first_pipeline(config.train_dataloader)}
    height, width = student.data_preprocessor.size
    if 'RandomCrop' in steps:
        assert tuple(steps['RandomCrop'].crop_size) == (height, width)
    else:
        assert tuple(steps['Resize'].scale) == (width, height) == (1024, 512)


def first_pipeline(loader):
    """Pipeline of the first data set of a loader."""
    dataset = loader.dataset
    return dataset.get('datasets', [dataset])[0].pipeline


@pytest.mark.parametrize('name', ['mit-b0-scratch', 'mit-b2'])
def test_acdc_is_read(name, tmp_path):
    path, = [p for p in BASES if f'{name}_' in p.stem and 'acdc' in p.stem]
    config = Config.fromfile(path)
    for condition in ('fog', 'night', 'rain', 'snow'):
        for split in ('train', 'val'):
            stem = f'{condition}/{split}/GOPR1/GOPR1_frame_000001'
            write(tmp_path / f'rgb_anon/{stem}_rgb_anon.png',
                  np.zeros((27, 48, 3)))
            labels = np.full((27, 48), 255)
            labels[:14] = 18
            write(tmp_path / f'gt/{stem}_gt_labelTrainIds.png', labels)
            # What else lies there is no image of the data set.
            write(tmp_path / f'gt/{stem}_gt_labelColor.png', labels)
    for loader in ('train', 'val', 'test'):
        dataset = build(config[f'{loader}_dataloader'].dataset, tmp_path)
        assert len(dataset) == 4 and len(dataset.metainfo['classes']) == 19
    sample = dataset[3]['data_samples']
    assert 'snow/val' in sample.img_path
    assert sample.gt_sem_seg.data.unique().tolist() == [18, 255]


@pytest.mark.parametrize('name', ['mit-b0-scratch', 'mit-b2'])
def test_nyuv2_is_read(name, tmp_path):
    path, = [p for p in BASES if f'{name}_' in p.stem and 'nyuv2' in p.stem]
    config = Config.fromfile(path)
    for split, number in (('train', 5), ('test', 7)):
        write(tmp_path / f'RGB/{number}.jpg', np.zeros((48, 64, 3)))
        labels = np.zeros((48, 64))
        labels[:24] = 40
        write(tmp_path / f'Label/{number}.png', labels)
        (tmp_path / f'{split}.txt').write_text(f'{number}\n')
    for loader, number in (('train', 5), ('val', 7), ('test', 7)):
        dataset = build(config[f'{loader}_dataloader'].dataset, tmp_path)
        assert len(dataset) == 1 and len(dataset.metainfo['classes']) == 40
        sample = dataset[0]['data_samples']
        assert sample.img_path.endswith(f'{number}.jpg')
        # Unlabelled is ignored, and class 40 is number 39.
        assert set(sample.gt_sem_seg.data.unique().tolist()) <= {39, 255}
    assert sample.gt_sem_seg.data.unique().tolist() == [39, 255]
