"""The recipes for the driving scenes: each trains and is evaluated."""
from pathlib import Path

import pytest
from mmengine.config import Config

from mmkd import apis
from mmkd.datasets.scenes.generate import generate
from mmkd.datasets.scenes.presets import PRESETS, Preset

CONFIGS = Path(__file__).parents[2] / 'configs/demo'
RECIPES = sorted(CONFIGS.glob('*_scenes.py'))
SPLITS = ('train', 'val', 'test')


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """A few small pictures in the layouts of Cityscapes and COCO."""
    root = str(tmp_path_factory.mktemp('recipes') / 'scenes')
    PRESETS['recipes'] = Preset(2, 1, 1, 1, 64, 128, 1)
    try:
        generate('recipes', root, workers=1)
        yield root
    finally:
        del PRESETS['recipes']


def short(path, root, work_dir):
    """A recipe on these scenes, for one step of two pictures."""
    cfg = Config.fromfile(path)
    for split in SPLITS:
        loader = cfg[f'{split}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.data_root = root
        evaluators = cfg.get(f'{split}_evaluator', [])
        for evaluator in ([evaluators]
                          if isinstance(evaluators, dict) else evaluators):
            if 'ann_file' in evaluator:
                evaluator.ann_file = (f'{root}/annotations/'
                                      f'instances_{split}.json')
    cfg.train_cfg.update(max_iters=1, val_interval=1)
    cfg.work_dir = str(work_dir)
    cfg.log_level = 'WARNING'
    test_cfg = cfg.model.get('student', cfg.model).test_cfg
    if 'score_thr' in test_cfg:
        # Else an untrained detector finds nothing, which gives no metric.
        test_cfg.score_thr = 0.
    for teacher in cfg.model.get('teachers', {}).values():
        teacher.ckpt = 'random'
    return cfg


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_recipe_trains_and_is_evaluated(path, scenes, tmp_path):
    cfg = short(path, scenes, tmp_path)
    runner = apis.build_runner(apis.prepare_training(cfg))
    before = {
        name: value.clone()
        for name, value in runner.model.state_dict().items()
    }
    runner.train()
    assert runner.iter == 1
    after = runner.model.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert any(not value.equal(before[name]) for name, value in after.items())
    # The validation at the end gave the metric of the task.
    scalars = runner.message_hub.log_scalars
    assert {'val/mIoU', 'val/coco/bbox_mAP'} & set(scalars)


def test_teacher_and_student_differ_in_width_alone():
    for kind in ('retinanet_r18w{}_fpn', 'gfl_r18w{}_fpn'):
        teacher, student = (
            Config.fromfile(CONFIGS / f'{kind.format(width)}_scenes.py')
            for width in (32, 8))
        assert teacher.model.type == student.model.type
        assert teacher.train_dataloader == student.train_dataloader
        assert teacher.model.bbox_head.num_classes == 8
        assert student.model.bbox_head.num_classes == 8
