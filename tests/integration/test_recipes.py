"""Every recipe under ``configs/``: its facts, and one step of its networks."""
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmkd.models import DistillationModel
from mmkd.utils.config import official_weights

CONFIGS = Path(__file__).parents[2] / 'configs'
RECIPES = sorted(
    path for path in CONFIGS.rglob('*.py')
    if not {'_base_', 'demo'} & set(path.relative_to(CONFIGS).parts))
SEGMENTATION = [
    path for path in RECIPES
    if path.parent.name in ('bpkd', 'cwd', 'logits_kd')
]
BPKD = [path for path in RECIPES if path.parent.name == 'bpkd']

# Learning rate, weight decay, crop, classes and images per GPU of the BPKD
# recipes (methods page, section 4; 4 images on ADE20K as in mmseg).
FACTS = {
    'cityscapes': (0.01, 5e-4, (512, 1024), 19, 2),
    'ade20k': (0.01, 5e-4, (512, 512), 150, 4),
    'pascal-context-59': (0.004, 1e-4, (480, 480), 59, 4),
}


def name_of(path):
    """Name of a recipe in the test's name."""
    return path.stem


@lru_cache(maxsize=None)
def read(path):
    """A recipe, read once."""
    return Config.fromfile(path)


def tiny(path, crop=64):
    """A recipe with untrained networks and small images."""
    config = read(path)
    model = deepcopy(config.model)
    model.pop('type')
    model.dry_run_size = (crop, crop)
    if model.student.get('pretrained'):
        model.student.pretrained = None
    model.student.data_preprocessor.size = (crop, crop)
    for teacher in model.teachers.values():
        teacher.ckpt = 'random'
    return model, config.default_scope


def raw_batch(num_classes, crop=64):
    """Two images of stripes with an ignored corner, as a loader gives them."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for shift in range(2):
        labels = torch.arange(crop).add(8 * shift).div(
            16, rounding_mode='floor').expand(crop, crop) % num_classes
        labels = labels.clone()
        labels[:16, :16] = 255
        samples.append(
            SegDataSample(
                gt_sem_seg=PixelData(data=labels[None]),
                metainfo=dict(img_shape=(crop, crop))))
    images = torch.randint(
        256, (2, 3, crop, crop), generator=generator, dtype=torch.uint8)
    return dict(inputs=list(images), data_samples=samples)


def test_all_are_covered():
    assert len(BPKD) == 12
    assert SEGMENTATION == RECIPES, 'a recipe that no test here runs'


@pytest.mark.parametrize('path', SEGMENTATION, ids=name_of)
def test_one_step(path):
    torch.manual_seed(0)
    cfg, scope = tiny(path)
    with DefaultScope.overwrite_default_scope(scope):
        model = DistillationModel(**cfg)
    model.train()
    num_classes = model.student.decode_head.num_classes
    before = {
        name: [t.clone() for t in teacher.network.state_dict().values()]
        for name, teacher in model.teachers.items()
    }
    data = model.data_preprocessor(raw_batch(num_classes), True)
    losses = model(**data, mode='loss')

    student = {k: v for k, v in losses.items() if k.startswith('student.')}
    distilled = {k: v for k, v in losses.items() if k not in student}
    assert 'student.decode.loss_ce' in student
    (name, distiller), = model.distillers.items()
    assert set(distilled) == {f'{name}.{term}' for term in distiller.weights}
    for key, loss in distilled.items():
        assert loss.shape == () and loss.dtype == torch.float32, key
        assert loss.isfinite() and loss > 0, key
        assert not any(tap.network for taps in distiller.student_taps.values()
                       for tap in taps)

    # Each distillation loss alone reaches what feeds the student's tap.
    module = distiller.student_taps[distiller.roles[0]][0].module
    weight = list(model.student.get_submodule(module).parameters())[-1]
    for key, loss in distilled.items():
        grad, = torch.autograd.grad(loss, weight, retain_graph=True)
        assert grad.isfinite().all() and grad.abs().sum() > 0, key

    total, log = model.parse_losses(losses)
    assert set(losses) <= set(log)
    total.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    for name, teacher in model.teachers.items():
        assert not teacher.network.training
        assert all(p.grad is None for p in teacher.network.parameters())
        after = teacher.network.state_dict().values()
        assert all(torch.equal(a, b) for a, b in zip(before[name], after))


@pytest.mark.parametrize('path', BPKD, ids=name_of)
def test_facts_of_bpkd(path):
    config = read(path)
    lr, decay, crop, num_classes, images = FACTS[path.stem.split('_')[-1]]
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.momentum) == ('SGD', 0.9)
    assert (optimizer.lr, optimizer.weight_decay) == (lr, decay)
    scheduler, = config.param_scheduler
    assert (scheduler.type, scheduler.power, scheduler.eta_min,
            scheduler.end) == ('PolyLR', 0.9, 1e-4, 80000)
    assert config.train_cfg.max_iters == 80000
    assert config.train_dataloader.batch_size == images
    steps = {
        step.type: step
        for step in config.train_dataloader.dataset.pipeline
    }
    assert tuple(steps['RandomCrop'].crop_size) == crop
    assert steps['RandomCrop'].cat_max_ratio == 0.75
    assert tuple(steps['RandomResize'].ratio_range) == (0.5, 2.0)
    assert bool(steps['LoadAnnotations'].get('reduce_zero_label')) == (
        num_classes != 19)
    student = config.model.student
    assert tuple(student.data_preprocessor.size) == crop
    assert student.decode_head.num_classes == num_classes
    assert student.decode_head.loss_decode.loss_weight == 1.0
    auxiliary = student.get('auxiliary_head')
    assert auxiliary is None or auxiliary.loss_decode.loss_weight == 0.4
    assert config.model.distillers.bpkd == dict(type='BPKD')


@pytest.mark.parametrize('path', SEGMENTATION, ids=name_of)
def test_weights_of_the_teacher_are_known(path):
    teacher = read(path).model.teachers.teacher
    if teacher.ckpt == 'official':
        assert official_weights(teacher.cfg).endswith('.pth')
    elif 'isanet' in path.stem:
        assert Path(teacher.cfg).is_file()
        assert teacher.ckpt.startswith('checkpoints/')
    else:
        assert '160k_ade20k' in teacher.ckpt
