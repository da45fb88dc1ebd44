"""Every recipe for a LiDAR detector: its facts, and a step of its networks."""
import gc
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmkd.core.model import DistillationModel
from mmkd.core.schedule import Progress
from mmkd.registry import DISTILLERS
from mmkd.testing.lidar import lidar_batch, on_a_small_region
from mmkd.utils.config import official_weights, read_config

CONFIGS = Path(__file__).parents[2] / 'configs/pointdistiller'
RECIPES = sorted(CONFIGS.glob('*.py'))

# N, K, width of the encoded edges (None: the student's), coefficient
# (methods page, section 4).
VALUES = {
    'pointpillars-4x': (6000, 128, 32, 2),
    'pointpillars-16x': (6000, 128, 16, 2),
    'second-4x': (256, 256, 32, 12),
    'second-16x': (256, 128, 32, 12),
    'point-rcnn-8x': (6000, 128, 45, 2),
    'point-rcnn-16x': (6000, 128, 32, 2),
    'pointpillars-fpn-2x': (256, 128, 64, 2),
    'pointpillars-fpn-4x': (256, 128, 64, 2),
    'centerpoint-pillar02-4x': (6000, 128, 32, 2),
    'centerpoint-voxel01-4x': (256, 128, 64, 2),
}


@pytest.fixture(autouse=True)
def one_pair_at_a_time():
    """Give the memory of large networks back before the next ones."""
    yield
    gc.collect()


@lru_cache(maxsize=None)
def read(path):
    """A recipe, read once."""
    return Config.fromfile(path)


def name_of(path):
    return path.stem


def plain(value):
    """A part of a config without the scopes that mmengine adds."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k != '_scope_'}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


@pytest.mark.parametrize('path', RECIPES, ids=name_of)
def test_one_step(path):
    config = read(path)
    assert config.default_scope == 'mmdet3d'
    cfg = dict(read_config(config).model)
    cfg.pop('type')
    student = cfg['student']
    teacher = read_config(cfg['teachers'].teacher.cfg)
    if student.type != 'PointRCNN':
        on_a_small_region(student)
        on_a_small_region(teacher.model)
    elif not torch.cuda.is_available():
        pytest.skip('furthest point sampling of mmcv needs CUDA')
    cfg['teachers'] = dict(teacher=dict(cfg=teacher, ckpt='random'))
    nuscenes = path.stem.endswith('nuscenes')
    encoder = student.get('pts_voxel_encoder', {})
    channels = encoder.get('in_channels', encoder.get('num_features', 4))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        model = DistillationModel(**cfg).train()
    data = lidar_batch(
        num_scans=1,
        num_points=3000,
        channels=channels,
        box_size=9 if nuscenes else 7)
    batch = model.data_preprocessor(data, True)
    assert model.data_preprocessor.how('teacher') == 'shared'
    losses = model(**batch, mode='loss')
    loss = losses['pointdistiller.loss']
    assert loss.isfinite() and loss > 0
    total, _ = model.parse_losses(losses)
    total.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    assert all(p.grad is None
               for p in model.teachers['teacher'].network.parameters())
    distiller = model.distillers['pointdistiller']
    values = VALUES[path.stem.split('_')[2]]
    assert (distiller.resolved.num_centres,
            distiller.resolved.num_neighbours) == values[:2]
    if len(distiller.layers_s) == 1:
        assert distiller.layers_s[0].norm.num_features == values[2]


@pytest.mark.parametrize('path', RECIPES, ids=name_of)
def test_facts(path):
    config = read(path)
    method, teacher_name, student_name, schedule, data = path.stem.split('_')
    assert student_name.startswith(f'{teacher_name}-')
    teacher = config.model.teachers.teacher
    assert official_weights(teacher.cfg).endswith('.pth')
    # The student's run is the teacher's.
    stock = read_config(teacher.cfg)
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg',
                'train_dataloader', 'val_evaluator'):
        assert plain(config[key]) == plain(stock[key]), key
    epochs = config.train_cfg.max_epochs
    if data == 'kitti':
        assert schedule == f'{2 * epochs}e'  # the data are repeated twice
    else:
        assert schedule == {24: '2x', 20: '20e'}[epochs]
    distiller = DISTILLERS.build(dict(config.model.distillers.pointdistiller))
    weight, = distiller.term_weights(Progress()).values()
    assert weight == VALUES[student_name][3]
    # Thinner, at the same depth.
    student = config.model.student
    prefix = 'pts_' if 'pts_backbone' in student else ''
    for part in ('backbone', 'neck'):
        small = student[f'{prefix}{part}']
        large = stock.model[f'{prefix}{part}']
        assert small.type == large.type
        assert small.get('layer_nums') == large.get('layer_nums')


def test_all_are_covered():
    assert {path.stem.split('_')[2] for path in RECIPES} == set(VALUES)
