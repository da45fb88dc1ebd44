"""MonoTAKD's recipes at the paper's size: facts, one step, and its export."""
import gc
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS

from mmkd.apis import student_only
from mmkd.core.model import DistillationModel
from mmkd.testing import bev_batch
from mmkd.testing.bev import bev_on_a_small_region, in_sight, kitti_bev_batch
from mmkd.utils.config import read_config

CONFIGS = Path(__file__).parents[2] / 'configs'
RECIPES = sorted((CONFIGS / 'monotakd').glob('monotakd*.py'))


@pytest.fixture(autouse=True)
def one_pair_at_a_time():
    """Give the memory of large networks back before the next ones."""
    yield
    gc.collect()


def test_all_stages():
    assert len(RECIPES) == 4
    for path in RECIPES:
        config = Config.fromfile(path)
        kd = config.model.distillers.monotakd
        assistant = 'assistant' in path.stem
        assert kd.type == 'MonoTAKD' + 'Assistant' * assistant
        assert list(
            config.model.teachers) == ['teacher'
                                       ] + ['assistant'] * (not assistant)
        packed = set(config.test_dataloader.dataset.pipeline[-1]['keys'])
        assert packed == ({'img', 'points'} if assistant else {'img'})


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_one_step(path):
    layout = path.stem.split('_')[-1]
    config = Config.fromfile(path)
    arguments = config.model
    arguments.pop('type')
    bev_on_a_small_region(arguments.student)
    arguments.student._scope_ = 'mmdet3d'
    for teacher in arguments.teachers.values():
        teacher.update(cfg=read_config(teacher.cfg), ckpt='random')
        bev_on_a_small_region(teacher.cfg.model)
    torch.manual_seed(0)
    model = DistillationModel(**arguments, dry_run_size=(32, 64)).train()
    batch = kitti_bev_batch() if layout == 'kitti' else in_sight(
        bev_batch(num_classes=10))
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert all(value.isfinite() for name, value in losses.items()
               if 'loss' in name and isinstance(value, torch.Tensor))
    terms = [name for name in losses if name.startswith('monotakd.')]
    assert len(terms) == 3 + (layout == 'kitti') + ('assistant'
                                                    not in path.stem)
    assert all(losses[name] > 0 for name in terms)
    if layout == 'kitti':  # labels are the teacher's
        assert all(
            sum(value) == 0 for name, value in losses.items()
            if name.startswith('student.'))
    total, _ = model.parse_losses(losses)
    total.backward()
    assert all(p.grad is not None for p in model.parameters()
               if p.requires_grad)
    for teacher in model.teachers.values():
        assert all(p.grad is None for p in teacher.network.parameters())


def test_facts_of_kitti():
    config = Config.fromfile(CONFIGS / 'monotakd' /
                             'monotakd_bev-lidar_bev-residual_10e_kitti.py')
    lift = config.model.student.view_transform
    low, high = lift.point_cloud_range[:3], lift.point_cloud_range[3:]
    cells = [
        round((b - a) / size) for a, b, size in zip(low, high, lift.voxel_size)
    ]
    assert cells == [140, 188, 10]
    assert lift.depth == dict(low=2, high=46.8, num=120, mode='LID')
    teacher = read_config(config.model.teachers.teacher.cfg).model
    assert teacher.data_preprocessor.voxel_layer.voxel_size == [.04, .04, .1]
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr,
            optimizer.weight_decay) == ('AdamW', 2e-4, .01)
    # One frame in a step: 37,120 steps of the 3712 frames, as released.
    assert config.train_cfg.max_epochs == 10
    assert config.train_dataloader.batch_size == 1


@pytest.mark.parametrize('name, peak', [
    ('bev-residual_1xb1-10e_kitti', 2e-4),
    ('bev-lidar_8xb4-80e_kitti', 3e-3),
])
def test_one_cycle(name, peak):
    config = Config.fromfile(CONFIGS / 'monotakd' / f'{name}.py')
    optimizer = OPTIMIZERS.build(
        dict(
            config.optim_wrapper.optimizer,
            params=torch.nn.Linear(1, 1).parameters()))
    epochs = config.train_cfg.max_epochs
    cycle = [
        PARAM_SCHEDULERS.build(
            dict(scheduler, optimizer=optimizer, epoch_length=5))
        for scheduler in config.param_scheduler
    ]
    found = []
    for _ in range(5 * epochs):
        group = optimizer.param_groups[0]
        found.append((group['lr'], group['betas'][0]))
        optimizer.step()
        for scheduler in cycle:
            scheduler.step()
    rates, betas = zip(*found)
    top = rates.index(max(rates))
    assert abs(top - 2 * epochs) <= 1
    assert abs(betas.index(min(betas)) - 2 * epochs) <= 1
    assert rates[0] == pytest.approx(peak / 10)
    assert rates[top] == pytest.approx(peak, rel=.01)
    assert betas[0] == .95 and min(betas) == pytest.approx(.85, abs=1e-3)
    assert betas[-1] == pytest.approx(.95, abs=1e-3)


@pytest.mark.parametrize('layout', ['kitti', 'nuscenes'])
def test_export(layout):
    # Nothing of the LiDAR or of the assistant, but both branches.
    plain = student_only(
        str(CONFIGS / 'demo' /
            f'monotakd_bev-lidar_bev-residual_scenes-{layout}.py'))
    assert plain.model.type == 'mmkd.BEVDetector'
    assert plain.model.img_bev_encoder.type == 'mmkd.ResidualBranches'
    assert plain.model.get('depth_source', 'predicted') == 'predicted'
    assert 'pts_voxel_encoder' not in plain.model
    data = plain.test_dataloader.dataset
    assert not data.modality.use_lidar
    assert not any('Points' in step.type for step in data.pipeline)
