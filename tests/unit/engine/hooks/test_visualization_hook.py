"""Pictures while a run trains."""
import glob

import pytest
import torch
from mmengine.registry import VISBACKENDS
from mmengine.visualization import BaseVisBackend

from mmkd import apis
from mmkd.engine.hooks import DistillationVisualizationHook
from mmkd.errors import ConfigError
from mmkd.registry import HOOKS
from mmkd.testing import distillation_config, segmentation_config, segmentor

METHODS = dict(bpkd=dict(type='BPKD'), acam=dict(type='ACAM', num_masks=2))


def config(cityscapes, folder, *hooks, **kwargs):
    plain = segmentation_config(cityscapes, str(folder),
                                segmentor(4)['model'], **kwargs)
    cfg = distillation_config(plain, METHODS)
    # Random numbers of numpy and torch, running statistics, an average.
    cfg.train_dataloader.dataset.pipeline.insert(
        2, dict(type='PhotoMetricDistortion'))
    cfg.custom_hooks = [
        dict(type='EMAHook', momentum=0.3),
        dict(type='mmkd.SelfCheckHook', num_batches=1), *hooks
    ]
    return cfg


def hook(**kwargs):
    return dict(type='mmkd.DistillationVisualizationHook', **kwargs)


def test_training_is_bit_for_bit_the_same(cityscapes, tmp_path):
    """Images of both data sets, at every iteration."""
    hooks = [
        hook(interval=1, images=1),
        hook(
            interval=1,
            images=1,
            split='train',
            out_dir=str(tmp_path / 'of_training'))
    ]
    runs = []
    for name, more in (('plain', []), ('seen', hooks)):
        apis.train(config(cityscapes, tmp_path / name, *more, max_iters=2))
        runs.append(
            torch.load(tmp_path / name / 'iter_2.pth', weights_only=False))
    first, second = runs
    for part in ('state_dict', 'ema_state_dict'):
        assert first[part].keys() == second[part].keys()
        for key, value in first[part].items():
            assert torch.equal(value, second[part][key]), key
    momenta = [run['optimizer']['state'][0]['momentum_buffer'] for run in runs]
    assert momenta[0].equal(momenta[1])
    for folder in (tmp_path / 'seen' / 'pictures', tmp_path / 'of_training'):
        for method, strip in (('acam', 'strip_level_0'), ('bpkd', 'strip')):
            image, = (folder / method).iterdir()
            assert {path.name
                    for path in image.iterdir()} == {
                        *(f'iter_{i:06d}.png' for i in range(3)),
                        f'{strip}.png', 'history.npz'
                    }


@VISBACKENDS.register_module()
class KeepingBackend(BaseVisBackend):
    """Keeps the names and steps of pictures."""
    kept = []

    def _init_env(self):
        pass

    @property
    def experiment(self):
        return self

    def add_image(self, name, image, step=0, **kwargs):
        assert image.dtype.name == 'uint8' and image.shape[2] == 3
        self.kept.append((name, step))

    def add_scalars(self, *args, **kwargs):
        pass

    add_scalar = add_config = add_graph = add_scalars


def test_backends_and_interval(cityscapes, tmp_path):
    """Before training, every second iteration, and the last one."""
    cfg = config(
        cityscapes,
        tmp_path,
        hook(interval=2, images=[1], predictions=False),
        max_iters=3)
    cfg.visualizer = dict(
        type='Visualizer',
        vis_backends=[
            dict(type='LocalVisBackend'),
            dict(type='KeepingBackend')
        ])
    KeepingBackend.kept.clear()
    apis.train(cfg)
    name = 'tinytown_000001_000019_leftImg8bit'
    assert [
        step for shown, step in KeepingBackend.kept if shown == f'bpkd/{name}'
    ] == [0, 2, 3]
    assert (f'acam/{name}/strip_level_0', 3) in KeepingBackend.kept
    # Not written twice.
    assert not list(tmp_path.rglob('vis_image'))


def test_resumed_run_goes_on_with_its_strips(cityscapes, tmp_path):
    apis.train(
        config(cityscapes, tmp_path, hook(interval=1, images=1), max_iters=1))
    strip = next(tmp_path.rglob('acam/*/strip_level_0.png'))
    width = _width(strip)
    cfg = config(cityscapes, tmp_path, hook(interval=1, images=1), max_iters=3)
    cfg.resume = True
    apis.train(cfg)
    assert _width(strip) > 1.5 * width  # 0, 1, 2, 3 in place of 0, 1


def _width(path):
    from PIL import Image
    with Image.open(path) as image:
        return image.width


def test_truth_that_is_missing(cityscapes, tmp_path, monkeypatch):
    """A method that needs it is left out, the others are drawn."""
    said = []
    monkeypatch.setattr('mmkd.visualization.observation.print_log',
                        lambda text, *args: said.append(text))
    cfg = config(
        cityscapes,
        tmp_path,
        hook(interval=9, images=1),
        max_iters=1,
        val_cfg=None,
        val_dataloader=None,
        val_evaluator=None)
    with pytest.raises(
            ConfigError, match="no `val_dataloader`; split='train'"):
        apis.train(cfg)
    file = glob.glob(f'{cityscapes}/leftImg8bit/val/*/*.png')[0]
    cfg.custom_hooks = [hook(interval=1, images=[file], split='train')]
    apis.train(cfg)
    pictures = tmp_path / 'pictures'
    assert [path.name for path in pictures.iterdir()] == ['acam']
    assert any('bpkd cannot be drawn' in text for text in said)


def test_plain_model_is_left_alone(cityscapes, tmp_path):
    cfg = segmentation_config(cityscapes, str(tmp_path), max_iters=1)
    cfg.custom_hooks = [hook(interval=1)]
    apis.train(cfg)
    assert not (tmp_path / 'pictures').exists()


@pytest.mark.parametrize('wrong', [
    dict(interval=0),
    dict(split='test'),
    dict(strip_length=1),
])
def test_wrong_arguments(wrong):
    name = next(iter(wrong))
    assert HOOKS.get('DistillationVisualizationHook')
    with pytest.raises(ConfigError, match=name):
        DistillationVisualizationHook(**wrong)
