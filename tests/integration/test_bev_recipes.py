"""The recipes across sensors at the paper's size: facts, and one step."""
import gc
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmkd.apis import student_only
from mmkd.core.model import DistillationModel
from mmkd.methods.unidistill.distiller import PATHS
from mmkd.testing import bev_batch
from mmkd.testing.bev import bev_on_a_small_region
from mmkd.utils.config import read_config

CONFIGS = Path(__file__).parents[2] / 'configs/unidistill'
RECIPES = sorted(CONFIGS.glob('unidistill_*.py'))


@pytest.fixture(autouse=True)
def one_pair_at_a_time():
    """Give the memory of large networks back before the next ones."""
    yield
    gc.collect()


def test_all_paths():
    paths = {
        Config.fromfile(path).model.distillers.unidistill.path
        for path in RECIPES
    }
    assert paths == set(PATHS) and len(RECIPES) == 4


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_facts(path):
    config = Config.fromfile(path)
    student = config.model.student
    cells = [(b - a) / size * 1 / 8 for a, b, size in zip(
        [-54, -54], [54, 54], student.bbox_head.bbox_coder.voxel_size)]
    assert [round(n) for n in cells] == [180, 180]
    names = [
        name for task in student.bbox_head.tasks for name in task.class_names
    ]
    data = config.train_dataloader.dataset.dataset
    # CenterHead counts labels through its tasks.
    assert names == data.metainfo.classes and len(names) == 10
    # The batch has what both networks read, and no pasted objects.
    kinds = [step.type for step in data.pipeline]
    assert {'mmkd.LoadMultiViewImages', 'LoadPointsFromFile', 'mmkd.BEVAug3D'
            } <= set(kinds) and 'ObjectSample' not in kinds
    packed = set(config.test_dataloader.dataset.pipeline[-1]['keys'])
    assert packed == ({
        'img'
    } if path.stem.split('_bev-')[2].startswith('camera') else {'points'})
    if 'img_backbone' in student:
        assert student.view_transform.depth == dict(low=2, high=58, num=112)


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_one_step(path):
    config = Config.fromfile(path)
    arguments = config.model
    arguments.pop('type')
    bev_on_a_small_region(arguments.student)
    arguments.student._scope_ = 'mmdet3d'
    teacher = arguments.teachers.teacher
    teacher.update(cfg=read_config(teacher.cfg), ckpt='random')
    bev_on_a_small_region(teacher.cfg.model)
    torch.manual_seed(0)
    model = DistillationModel(**arguments, dry_run_size=(32, 64)).train()
    batch = bev_batch(num_classes=10)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert all(value.isfinite() for name, value in losses.items()
               if 'loss' in name)
    terms = [name for name in losses if name.startswith('unidistill.')]
    assert len(terms) == 4 and all(losses[name] > 0 for name in terms)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert all(p.grad is not None for p in model.parameters()
               if p.requires_grad)


def test_export_of_a_camera_student():
    # It imports the registry that its detector is in, and nothing of its
    # test data is of the LiDAR.
    demo = CONFIGS.parent / 'demo'
    plain = student_only(
        str(demo / 'unidistill_bev-lidar_bev-camera_scenes-nuscenes.py'))
    assert plain.custom_imports.imports == ['mmkd.registry']
    assert plain.model.type == 'mmkd.BEVDetector'
    assert 'pts_voxel_encoder' not in plain.model
    data = plain.test_dataloader.dataset
    assert not data.modality.use_lidar
    assert not any('Points' in step.type for step in data.pipeline)
    # A student of a library stays free of mmkd.
    other = student_only(
        str(demo / 'fgd_retinanet-r18w32_retinanet-r18w8_scenes.py'))
    assert 'custom_imports' not in other
