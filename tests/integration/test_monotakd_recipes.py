"""MonoTAKD's recipes at the paper's size: facts, one step, and its export."""
import gc
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmkd.apis import student_only
from mmkd.models import DistillationModel
from mmkd.testing import bev_batch
from mmkd.utils.config import read_config

CONFIGS = Path(__file__).parents[2] / 'configs'
RECIPES = sorted((CONFIGS / 'monotakd').glob('monotakd*.py'))
#: Metres; in x and y in cells of the maps, eight voxels of the LiDAR each.
CELLS = 16


@pytest.fixture(autouse=True)
def one_pair_at_a_time():
    """Give the memory of large networks back before the next ones."""
    yield
    gc.collect()


def small(config, layout):
    """The model of a recipe on a smaller region, in reach of a CPU."""
    model = config.model
    size = dict(kitti=.32, nuscenes=.6)[layout]
    half, heights = CELLS * size / 2, dict(
        kitti=[-3, 1], nuscenes=[-5, 3])[layout]
    region = [-half, -half, heights[0], half, half, heights[1]]
    if layout == 'nuscenes':
        model.train_cfg.update(
            grid_size=[8 * CELLS, 8 * CELLS, 40], point_cloud_range=region)
    else:
        for old in model.bbox_head.anchor_generator.ranges:
            old[:2], old[3:5] = region[:2], region[3:5]
    if 'pts_middle_encoder' in model:
        model.data_preprocessor.voxel_layer.point_cloud_range = region
        model.pts_middle_encoder.update(
            type='mmkd.SparseEncoder', sparse_shape=[41, 8 * CELLS, 8 * CELLS])
    if 'view_transform' in model:
        model.view_transform.point_cloud_range = region
        model.img_backbone.init_cfg = None  # weights of the net
    return config


def batch_of(layout):
    """KITTI has one camera, no velocities, and points of four numbers."""
    nuscenes = layout == 'nuscenes'
    batch = bev_batch(num_classes=10) if nuscenes else bev_batch(cameras=1)
    for cloud in batch['inputs']['points']:
        # Where cameras see them and the small region has a cell's middle.
        cloud[:, 0] = 2.4 * cloud[:, 0].sign()
        cloud[:, 1:3] *= .2
    if nuscenes:
        return batch
    batch['inputs']['points'] = [x[:, :4] for x in batch['inputs']['points']]
    for sample in batch['data_samples']:
        boxes = sample.gt_instances_3d.bboxes_3d
        sample.gt_instances_3d.bboxes_3d = type(boxes)(boxes.tensor[:, :7])
    return batch


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
    arguments.student = small(Config(dict(model=arguments.student)),
                              layout).model
    arguments.student._scope_ = 'mmdet3d'
    for teacher in arguments.teachers.values():
        teacher.update(
            cfg=small(read_config(teacher.cfg), layout), ckpt='random')
    torch.manual_seed(0)
    model = DistillationModel(**arguments, dry_run_size=(32, 64)).train()
    losses = model(
        **model.data_preprocessor(batch_of(layout), True), mode='loss')
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
    assert config.train_cfg.max_epochs == 10


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
