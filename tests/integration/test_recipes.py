"""Every recipe for images under ``configs/``: its facts, and one step."""
import gc
from collections import defaultdict
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmkd.core.model import DistillationModel
from mmkd.core.rewriting import RewritingModel
from mmkd.core.schedule import Progress
from mmkd.core.terms import term_name
from mmkd.registry import DISTILLERS
from mmkd.testing import detection_batch
from mmkd.testing.examples import PLAIN
from mmkd.testing.runs import untrained
from mmkd.utils.config import official_weights, read_config

CONFIGS = Path(__file__).parents[2] / 'configs'
# Those in 3D and on small sets of images have tests of their own:
# test_lidar_recipes.py, test_bccd.py, test_camvid.py, test_coco_small.py.
RECIPES = sorted(
    path for path in CONFIGS.rglob('*.py')
    if not {'_base_', 'bccd', 'camvid', 'coco_small', 'demo'}
    & set(path.relative_to(CONFIGS).parts) and not path.stem.endswith(
        ('_kitti', '_nuscenes')))
DETECTION = [path for path in RECIPES if path.stem.endswith('_coco')]
SEGMENTATION = [path for path in RECIPES if path not in DETECTION]
BPKD = [path for path in RECIPES if path.parent.name == 'bpkd']
ACAM = [path for path in RECIPES if path.parent.name == 'acam']
# One recipe of each method and pair of networks: other data change no network.
FIRST = {path.stem.rsplit('_', 2)[0]: path for path in reversed(RECIPES)}
TOKENS = sorted(CONFIGS.glob('maskd/_base_/maskd-tokens_*.py'))
BASELINES = [path for path in RECIPES if path.parent.name in ('fgd', 'mgd')]

# Learning rate, weight decay, crop, classes and images per GPU of the BPKD
# recipes (methods page, section 4; 4 images on ADE20K as in mmseg).
FACTS = {
    'cityscapes': (0.01, 5e-4, (512, 1024), 19, 2),
    'ade20k': (0.01, 5e-4, (512, 512), 150, 4),
    'pascal-context-59': (0.004, 1e-4, (480, 480), 59, 4),
}


@pytest.fixture(autouse=True)
def one_pair_at_a_time():
    """Give the memory of large networks back before the next ones."""
    yield
    gc.collect()


def name_of(path):
    """Name of a recipe in the test's name."""
    return path.stem


@lru_cache(maxsize=None)
def read(path):
    """A recipe, read once."""
    return Config.fromfile(path)


@lru_cache(maxsize=None)
def teacher_of(path):
    """The config that the teacher of a recipe is trained with, read once."""
    return read_config(read(path).model.teachers.teacher.cfg)


@lru_cache(maxsize=None)
def first_with(teacher):
    """The first recipe with a teacher."""
    return next(
        path for path in RECIPES
        if str(read(path).model.teachers.teacher.cfg) == teacher)


def tiny(path, crop=64):
    """A recipe with untrained networks and small images."""
    config = read(path)
    model = deepcopy(config.model)
    model.pop('type')
    model.dry_run_size = (crop, crop)
    if config.default_scope == 'mmseg':
        if model.student.get('pretrained'):
            model.student.pretrained = None
        model.student.data_preprocessor.size = (crop, crop)
    for distiller in model.distillers.values():
        if distiller.type == 'CIRKD':
            # A hundred million random numbers take a second.
            distiller.update(pixel_queue=100, region_queue=100)
    untrained(model)
    for teacher in model.teachers.values():
        if path != first_with(str(teacher.cfg)):
            teacher.update(PLAIN)  # each teacher is sped up once
        if 'cascade' in path.stem:
            # The dry run goes through heads that take time for each proposal.
            teacher.cfg = read_config(teacher.cfg)
            teacher.cfg.model.test_cfg.rpn.max_per_img = 10
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
    for path in RECIPES:
        assert read(path).default_scope == ('mmdet' if path in DETECTION else
                                            'mmseg'), path.stem


def without_data(cfg):
    """A config without what depends on the data."""
    if isinstance(cfg, dict):
        of_data = {
            'align_corners', 'ckpt', 'num_classes', '_scope_', 'size',
            'test_cfg', 'weights'
        }
        return {key: without_data(cfg[key]) for key in cfg.keys() - of_data}
    return [without_data(part)
            for part in cfg] if isinstance(cfg, (list, tuple)) else cfg


def pair_of(path):
    """The networks and distillers of a recipe."""
    model = deepcopy(read(path).model)
    model.teachers.teacher.cfg = teacher_of(path).model
    return without_data(model)


def data_of(config, network):
    """The data of a config, and the classes that a network tells apart."""
    dataset = config.test_dataloader.dataset
    heads = ('decode_head', 'auxiliary_head', 'bbox_head')
    return dataset.type, dataset.data_root, {
        network[head].num_classes
        for head in heads if network.get(head)
    }


@pytest.mark.parametrize(
    'path', [p for p in RECIPES if p not in FIRST.values()], ids=name_of)
def test_other_data_change_no_network(path):
    assert pair_of(path) == pair_of(FIRST[path.stem.rsplit('_', 2)[0]])
    config, teacher = read(path), teacher_of(path)
    assert data_of(teacher, teacher.model) == data_of(config,
                                                      config.model.student)
    for distiller in config.model.distillers.values():
        DISTILLERS.build(dict(distiller))


@pytest.mark.parametrize('path', RECIPES, ids=name_of)
def test_one_step(path):
    torch.manual_seed(0)
    # Deformable convolutions want three cells at stride 32.
    crop = 96 if 'dconv' in path.stem else 64
    cfg, scope = tiny(path, crop)
    with DefaultScope.overwrite_default_scope(scope):
        model = DistillationModel(**cfg)
    model.train()
    if scope == 'mmdet':
        data = detection_batch(size=(crop, 96), num_classes=80)
    else:
        data = raw_batch(model.student.decode_head.num_classes)
    before = {
        name: [t.clone() for t in teacher.network.state_dict().values()]
        for name, teacher in model.teachers.items()
    }
    losses = model(**model.data_preprocessor(data, True), mode='loss')

    student = {k: v for k, v in losses.items() if k.startswith('student.')}
    distilled = {
        k: v
        for k, v in losses.items() if k not in student and 'loss' in k
    }
    assert {'student.decode.loss_ce', 'student.loss_cls'} & set(student)
    assert set(distilled) == {
        term_name(name, term)
        for name, distiller in model.distillers.items()
        for term in distiller.weights
    }
    for key, loss in distilled.items():
        assert loss.shape == () and loss.dtype == torch.float32, key
        assert loss.isfinite() and loss > 0, key

    # Each distillation loss alone reaches what a tap of the student reads.
    own = {
        term_name(name, term)
        for name, distiller in model.distillers.items()
        for term in distiller.own_terms
    }
    for key, loss in distilled.items():
        if key in own:
            continue
        taps = sum(model.taps.student[key.split('.')[0]].values(), [])
        assert not any(tap.network for tap in taps)
        weights = {
            weight: None
            for tap in taps
            # What comes before the input of a module can be any other.
            for weight in (model.student if tap.where == 'input' else model.
                           student.get_submodule(tap.module)).parameters()
            if weight.requires_grad
        }
        grads = torch.autograd.grad(
            loss, list(weights), retain_graph=True, allow_unused=True)
        reached = [grad for grad in grads if grad is not None]
        assert all(grad.isfinite().all() for grad in reached), key
        assert any(grad.abs().sum() > 0 for grad in reached), key

    total, log = model.parse_losses(losses)
    assert set(losses) <= set(log)
    total.backward()
    for key, parameter in model.named_parameters():
        if not parameter.requires_grad:  # frozen stages of a backbone
            continue
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    for name, teacher in model.teachers.items():
        assert not teacher.network.training
        assert all(p.grad is None for p in teacher.network.parameters())
        after = teacher.network.state_dict().values()
        assert all(torch.equal(a, b) for a, b in zip(before[name], after))


@pytest.mark.parametrize('path', TOKENS, ids=name_of)
def test_first_stage_of_maskd(path):
    config, crop = read(path), 64
    model = deepcopy(config.model)
    model.pop('type')
    untrained(model)
    model.teacher.cfg = read_config(model.teacher.cfg)
    scope, network = config.default_scope, model.teacher.cfg.model
    if scope == 'mmseg':
        network.pretrained = None
        network.data_preprocessor.size = (crop, crop)
        data = raw_batch(network.decode_head.num_classes)
    else:
        # Of the same shapes for the tokens; large pixels would saturate them.
        network.backbone.depth = 50
        network.data_preprocessor.std = [58.0] * 3
        if 'cascade' in path.stem:
            network.test_cfg.rpn.max_per_img = 10
            network.train_cfg.rpn_proposal.max_per_img = 10
        data = detection_batch(size=(crop, 96), num_classes=80)
        for sample in data['data_samples']:
            sample.gt_instances.masks = BitmapMasks(
                np.ones((2, crop, 96), np.uint8), crop, 96)
    with DefaultScope.overwrite_default_scope(scope):
        model = RewritingModel(**model, dry_run_size=(crop, crop)).train()
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    assert 0 < losses['rewriter.loss_dice'] <= len(model.rewriter.levels)
    model.parse_losses(losses)[0].backward()
    # Untrained, these two do not see all of a level in such small images.
    on_some_level = any(name in path.stem for name in ('cascade', 'fcos'))
    reached = defaultdict(bool)
    for key, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), key
        part = key.split('.', 3)[3] if on_some_level else key
        reached[part] |= bool(parameter.grad.any())
    assert reached and all(reached.values()), dict(reached)
    tokens = model.rewriter.levels[0].tokens
    assert tokens.shape == ((8, 19) if scope == 'mmseg' else (6, 256))


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


@pytest.mark.parametrize('path', RECIPES, ids=name_of)
def test_weights_of_the_teacher_are_known(path):
    teacher = read(path).model.teachers.teacher
    if teacher.ckpt == 'official':
        assert official_weights(teacher.cfg).endswith('.pth')
    elif isinstance(teacher.cfg, dict):  # of timm, which the user fetches
        assert teacher.ckpt == 'dinov2/model.safetensors'
    elif Path(teacher.cfg).is_file():
        assert teacher.ckpt.startswith('checkpoints/')
        # Both names end with the data, that of the config with the crop too.
        network, data = Path(teacher.ckpt).stem.rsplit('_', 1)
        stem = Path(teacher.cfg).stem
        assert stem.startswith(network.rsplit('_', 1)[0])
        assert stem.rsplit('_', 1)[1].startswith(data)
    else:
        assert '160k_ade20k' in teacher.ckpt


@pytest.mark.parametrize(
    'path', [p for p in RECIPES if p.parent.name == 'maskd'], ids=name_of)
def test_masks_are_learned_from_the_teacher(path):
    model = read(path).model
    masks = Path(model.distillers.maskd.masks)
    stage, = [tokens for tokens in TOKENS if tokens.stem == masks.stem]
    assert read(stage).model.teacher == model.teachers.teacher


@pytest.mark.parametrize(
    'path', [p for p in (*ACAM, *BASELINES) if p in DETECTION], ids=name_of)
def test_facts_of_detection(path):
    config = read(path)
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.momentum,
            optimizer.weight_decay) == ('SGD', 0.9, 1e-4)
    assert optimizer.lr == (0.02 if 'faster-rcnn' in path.stem else 0.01)
    assert dict(config.optim_wrapper.clip_grad) == dict(
        max_norm=35, norm_type=2)
    assert config.train_cfg.max_epochs == 24
    assert config.param_scheduler[-1].milestones == [16, 22]
    assert config.train_dataloader.batch_size == 2
    hooks = [hook.type for hook in config.get('custom_hooks', [])]
    inherits = 'mmkd.InheritTeacherHook' in hooks
    assert inherits == ('cascade' not in path.stem)


# Weights of the terms of FGD and MGD (methods pages, section 4).
WEIGHTS = {
    ('fgd', 'retinanet'): (1e-3, 5e-4, 5e-4, 5e-6),
    ('fgd', 'faster-rcnn'): (5e-5, 2.5e-5, 5e-5, 5e-7),
    ('fgd', 'reppoints'): (1.6e-3, 8e-4, 8e-4, 8e-6),
    ('mgd', 'retinanet'): (2e-5, ),
    ('mgd', 'faster-rcnn'): (5e-7, ),
    ('mgd', 'reppoints'): (2e-5, ),
    ('mgd', 'pspnet'): (2e-5, ),
    ('mgd', 'deeplabv3'): (2e-5, ),
}


@pytest.mark.parametrize('path', BASELINES, ids=name_of)
def test_facts_of_fgd_and_mgd(path):
    config = read(path)
    method, _, student = path.stem.split('_')[:3]
    cfg = config.model.distillers[method]
    distiller = DISTILLERS.build(dict(cfg))
    family = next(name for key, name in WEIGHTS
                  if key == method and student.startswith(name))
    weights = distiller.term_weights(Progress())
    assert tuple(weights.values()) == WEIGHTS[method, family]
    if method == 'fgd':
        assert distiller.tau == 0.5
    else:
        assert distiller.mask_ratio == {
            'faster-rcnn': 0.45,
            'pspnet': 0.75,
            'deeplabv3': 0.75
        }.get(family, 0.65)
    if family == 'reppoints':
        # Before the neck's normalisation, as in the released codes.
        assert cfg.student == cfg.teacher == [
            f'neck.fpn_convs.{level}.conv' for level in range(5)
        ]
    if path not in DETECTION:
        steps = {s.type: s for s in config.train_pipeline}
        assert tuple(steps['RandomCrop'].crop_size) == (512, 512)
        assert config.train_dataloader.dataset.pipeline == (
            config.train_pipeline)
        assert tuple(config.model.student.data_preprocessor.size) == (512, 512)
        assert config.train_cfg.max_iters == config.param_scheduler[0].end == (
            40000)
        assert config.model.distillers.cwd == dict(
            type='CWD', tau=4.0, loss_weight=3.0)


@pytest.mark.parametrize('path', ACAM, ids=name_of)
def test_facts_of_acam(path):
    config = read(path)
    assert config.model.distillers.acam == dict(type='ACAM')
    distiller = DISTILLERS.build(dict(config.model.distillers.acam))
    assert set(distiller.term_weights(Progress()).values()) == {1.0}
    if path in DETECTION:
        return
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum,
            optimizer.weight_decay) == ('SGD', 0.02, 0.9, 5e-4)
    scheduler, = config.param_scheduler
    assert (scheduler.power, scheduler.eta_min) == (0.9, 1e-4)
    assert config.train_cfg.max_iters == scheduler.end == 40000
    # On 4 GPUs, 16 in a step.
    assert config.train_dataloader.batch_size == 4
    assert tuple(config.model.student.data_preprocessor.size) == (512, 1024)
