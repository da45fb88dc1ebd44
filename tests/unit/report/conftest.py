"""Tiny runs: a student alone and distilled, with two seeds each."""
import pytest

from mmkd import apis
from mmkd.testing import distillation_config, segmentation_config, segmentor


@pytest.fixture(scope='package')
def runs(tmp_path_factory, cityscapes):
    """Folders of four runs: alone and distilled, seeds 0 and 1."""
    root = tmp_path_factory.mktemp('runs')
    folders = []
    teacher = dict(cfg=segmentor(), ckpt=str(root / 'alone0' / 'iter_4.pth'))
    for seed in (0, 1):
        for name in ('alone', 'cwd'):
            cfg = segmentation_config(
                cityscapes,
                str(root / f'{name}{seed}'),
                seed=seed,
                train_cfg__val_interval=2)
            if name == 'cwd':
                cfg = distillation_config(cfg, dict(cwd=dict(type='CWD')),
                                          dict(teacher=teacher))
            cfg.experiment_name = f'{name}{seed}'  # of the log's writer
            apis.train(cfg)
            folders.append(cfg.work_dir)
    return folders
