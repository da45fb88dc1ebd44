"""Recipes of SparseKD: their facts, and a step of their networks."""
import gc
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmkd.core.model import DistillationModel
from mmkd.core.schedule import Progress
from mmkd.engine.hooks import InheritTeacherHook
from mmkd.registry import DISTILLERS
from mmkd.testing.examples import PLAIN
from mmkd.testing.lidar import lidar_batch, on_a_small_region
from mmkd.utils.config import official_weights, read_config

CONFIGS = Path(__file__).parents[2] / 'configs/sparsekd'
RECIPES = sorted(CONFIGS.glob('*.py'))
#: Weights of the scores and the codes (methods page, section 4).
WEIGHTS = {
    'centerpoint-pillar02-s': (10., .2),
    'centerpoint-pillar04': (7., 0.),
    'centerpoint-voxel01-s': (10., .2),
    'pointpillars-s': (15., .2),
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


@pytest.mark.parametrize('path', RECIPES, ids=name_of)
def test_one_step(path):
    config = read(path)
    cfg = dict(read_config(config).model)
    cfg.pop('type')
    student = cfg['student']
    # The same region, also for larger pillars.
    on_a_small_region(student, 64 if 'pillar04' in path.stem else None)
    teacher = read_config(cfg['teachers'].teacher.cfg)
    on_a_small_region(teacher.model)
    cfg['teachers'] = dict(teacher=dict(cfg=teacher, ckpt='random', **PLAIN))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        model = DistillationModel(**cfg).train()
    hook, = config.custom_hooks
    hook = InheritTeacherHook(**{k: v for k, v in hook.items() if k != 'type'})
    hook.before_train(SimpleNamespace(model=model, iter=0, _has_loaded=False))
    assert not sum(found.left for found in hook.report.values())
    encoder = student.get('pts_voxel_encoder', {})
    kitti = path.stem.endswith('kitti')
    data = lidar_batch(
        num_scans=1,
        num_points=2000,
        channels=encoder.get('in_channels', encoder.get('num_features', 4)),
        box_size=7 if kitti else 9)
    objects = data['data_samples'][0].gt_instances_3d
    objects.bboxes_3d.tensor[:, :2] = torch.tensor([[4., 2.], [9., -3.]])
    if kitti:
        objects.labels_3d += 2  # cars, as the boxes have their size
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    assert losses['sparsekd.loss_cls'] > 0
    assert (losses['sparsekd.loss_reg'] > 0) == ('pillar04' not in path.stem)
    total, _ = model.parse_losses(losses)
    total.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


def test_facts():
    found = {}
    for path in RECIPES:
        model = read(path).model
        assert official_weights(model.teachers.teacher.cfg).endswith('.pth')
        cfg = model.distillers.sparsekd
        weights = DISTILLERS.build(dict(cfg)).term_weights(Progress())
        found[path.stem.split('_')[2]] = weights['cls'], weights.get('reg', 0)
    assert found == WEIGHTS
