"""Runs without labels: their data, schedule and validation."""
import os.path as osp
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Union

from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from mmkd.core.network import build_network
from mmkd.engine.processes import world_size
from mmkd.errors import ConfigError
from mmkd.families import FAMILIES, is_transformer
from mmkd.utils.arguments import construct
from mmkd.utils.rng import preserve_rng


@dataclass
class LabelFree:
    """The key ``label_free`` of a config.

    Attributes:
        data (str | list[str]): Folders, images, videos, or lists of them; see
            :class:`~mmkd.data.image_folder.ImageFolder`.
        size (int): Height and width in pixels of the crops. Defaults to 224.
        last_size (int, optional): The same in the last tenth of the epochs.
            A batch then has fewer images, so that a step costs as much.
            Defaults to None: twice ``size``, or ``size`` if a teacher has a
            cache, whose inputs have to recur.
        epochs (int): Number of passes over the images. Defaults to 100.
        batch_size (int): Images of a step and process. Defaults to 128.
        num_workers (int): Processes that load images. Defaults to 2.
        lr (float): Learning rate at a batch size of 1536; that of the run is
            proportional to the square root of its batch size, of all
            processes together. Defaults to 5e-4.
        weight_decay (float, optional): None of it on norms and biases.
            Defaults to None: 0.04 if the student's backbone is a transformer,
            1e-6 otherwise.
        held_out (float): Share of the images on which the losses are
            validated. Defaults to 0.02.
        every (int): Of a video, each how many frames one is taken. Defaults
            to 25.
        mixup (bool, optional): Whether to mix the images of a batch
            (:func:`~mmkd.data.augmentation.mixup_collate`). Defaults to None:
            unless a teacher has a cache, whose inputs have to recur.
        probe (str, optional): Folder with a folder of images for each class,
            on which the student's embeddings are validated
            (:class:`~mmkd.evaluation.HeldOutMetric`). Defaults to None.
    """
    data: Union[str, List[str]]
    size: int = 224
    last_size: Optional[int] = None
    epochs: int = 100
    batch_size: int = 128
    num_workers: int = 2
    lr: float = 5e-4
    weight_decay: Optional[float] = None
    held_out: float = 0.02
    every: int = 25
    mixup: Optional[bool] = None
    probe: Optional[str] = None

    def __post_init__(self) -> None:
        if min(self.size, self.epochs, self.batch_size, self.every) < 1:
            raise ConfigError(
                'size, epochs, batch_size and every are at least 1')
        if self.last_size is not None and self.last_size < self.size:
            raise ConfigError('last_size is at least size')


def expand_label_free(cfg: Config) -> Config:
    """Replace the data, schedule and validation of the student by those of a
    run without labels, if the config has the key ``label_free``.

    The augmentation and the schedule are LightlyTrain's (AdamW, a warm-up,
    and a cosine). Of the student's hooks, only the average of its weights
    stays.

    Args:
        cfg (Config): Config of a run, changed in place.

    Raises:
        ConfigError: If an option is wrong, or the config is not a
            distillation.
    """
    from mmkd.engine.configs import is_distillation
    if 'label_free' not in cfg:
        return cfg
    if not is_distillation(cfg):
        raise ConfigError('`label_free` needs a distillation config, whose '
                          '`model` has teachers and distillers')
    options = construct(LabelFree, cfg.pop('label_free'), '`label_free`')
    cfg.model['label_free'] = True
    size = (options.size, options.size)
    dataset = image_folder(
        options.data, options.every, held_out=options.held_out)
    pack = packing(cfg)
    resized = dict(type='Resize', scale=size, keep_ratio=False)
    cfg.train_dataloader = ConfigDict(
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        persistent_workers=options.num_workers > 0,
        drop_last=True,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(dataset, pipeline=augmentation(size, pack)))
    cached = any(
        isinstance(teacher, dict) and teacher.get('cache')
        for teacher in cfg.model.get('teachers', {}).values())
    _last_phase(cfg.train_dataloader, options, pack, cached)
    if _mixes(options, cached):
        cfg.train_dataloader.collate_fn = dict(type='mmkd.mixup_collate')
    cfg.train_cfg = ConfigDict(
        type='EpochBasedTrainLoop',
        max_epochs=options.epochs,
        val_interval=max(1, options.epochs // 20))
    _schedule(cfg, options)
    validation = [dict(dataset, validation=True)] if options.held_out else []
    if options.probe:
        validation.append(image_folder(options.probe, 1, labels='folders'))
    if validation:
        for part in validation:
            part['pipeline'] = [dict(type='mmkd.LoadImage'), resized, pack]
        cfg.val_dataloader = ConfigDict(
            batch_size=options.batch_size,
            num_workers=options.num_workers,
            persistent_workers=options.num_workers > 0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=validation[0] if len(validation) == 1 else dict(
                type='ConcatDataset', datasets=validation))
        cfg.val_evaluator = ConfigDict(type='mmkd.HeldOutMetric')
        cfg.val_cfg = ConfigDict(type='ValLoop')
    else:
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.custom_hooks = [
        hook for hook in cfg.get('custom_hooks') or []
        if 'EMAHook' in str(hook.get('type'))
        or str(hook.get('type')).startswith('mmkd.')
    ]
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint')
    if checkpoint:
        checkpoint.update(
            by_epoch=True, interval=cfg.train_cfg.val_interval, save_best=None)
    cfg.pop('auto_scale_lr', None)
    return cfg


def _last_phase(loader: ConfigDict, options: LabelFree, pack: dict,
                cached: bool) -> None:
    """Let a data loader end with larger crops, as DINOv3's training does."""
    epochs = options.epochs // 10
    size = options.last_size or options.size * (1 if cached else 2)
    if cached and size > options.size:
        raise ConfigError('the crops of last_size do not recur, so that a '
                          'cache never serves; leave out one of them')
    if not epochs or size == options.size:
        return
    loader.dataset = ConfigDict(
        type='mmkd.MixedDataset',
        dataset=loader.dataset,
        unlabelled=dict(
            loader.dataset, pipeline=augmentation((size, size), pack)))
    # Normalisation over a batch needs two images.
    count = max(2, round(options.batch_size * (options.size / size)**2))
    loader.batch_sampler = ConfigDict(
        type='mmkd.LastPhaseBatchSampler',
        begin=options.epochs - epochs,
        count=count,
        drop_last=loader.pop('drop_last'))


def _mixes(options: LabelFree, cached: bool) -> bool:
    """Whether the images of a batch are mixed."""
    if options.mixup and cached:
        raise ConfigError('mixup gives no image twice, so that a cache never '
                          'serves; leave out one of them')
    return not cached if options.mixup is None else options.mixup


def image_folder(data: Union[str, List[str]], every: int,
                 **options: Any) -> dict:
    """The data set of the images and videos of some folders."""
    data = [data] if isinstance(data, str) else data
    return dict(
        type='mmkd.ImageFolder',
        root=[osp.abspath(osp.expanduser(path)) for path in data],
        every=every,
        **options)


def augmentation(size: Sequence[int], pack: dict) -> List[dict]:
    """LightlyTrain's transforms of the training.

    Args:
        size (Sequence[int]): Height and width of the crops in pixels.
        pack (dict): The last transform; see :func:`packing`.
    """
    jitter = dict(
        type='mmkd.TorchVision',
        name='ColorJitter',
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1)
    return [
        dict(type='mmkd.LoadImage'),
        dict(
            type='mmkd.TorchVision',
            name='RandomResizedCrop',
            size=list(size),
            scale=[0.14, 1.0]),
        dict(type='RandomFlip', prob=0.5),
        dict(type='RandomApply', prob=0.8, transforms=[jitter]),
        dict(type='RandomGrayscale', prob=0.2, keep_channels=True), pack
    ]


def packing(cfg: Config) -> dict:
    """The transform that packs an image for the student's library.

    Raises:
        ConfigError: If its students cannot train without labels.
    """
    scope = cfg.get('default_scope')
    family = next((x for x in FAMILIES if x.name == scope), None)
    if family is None or not family.packing:
        raise ConfigError(f'students of {scope} cannot be trained without '
                          'labels; those of mmdet and mmseg can')
    keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'flip',
            'flip_direction', 'labelled', 'label')
    return dict(type=family.packing, meta_keys=keys)


def _weight_decay(cfg: Config) -> float:
    """What LightlyTrain takes for the student's architecture."""
    with preserve_rng(), DefaultScope.overwrite_default_scope(
            cfg.get('default_scope')):
        student = build_network(cfg.model.get('student'), 'the student')
    return 0.04 if is_transformer(student) else 1e-6


def _schedule(cfg: Config, options: LabelFree) -> None:
    """Optimiser and learning rate."""
    batch_size = options.batch_size * world_size(cfg.get('launcher', 'none'))
    decay = options.weight_decay
    cfg.optim_wrapper = ConfigDict(
        type='OptimWrapper',
        optimizer=dict(
            type='AdamW',
            lr=options.lr * (batch_size / 1536)**0.5,
            weight_decay=_weight_decay(cfg) if decay is None else decay),
        paramwise_cfg=dict(
            norm_decay_mult=0., bias_decay_mult=0., bypass_duplicate=True),
        clip_grad=dict(max_norm=1.0))
    warm_up = min(10, options.epochs // 10)
    cfg.param_scheduler = [
        ConfigDict(
            type='CosineAnnealingLR',
            begin=warm_up,
            end=options.epochs,
            T_max=options.epochs - warm_up,
            by_epoch=True,
            convert_to_iter_based=True)
    ]
    if warm_up:
        cfg.param_scheduler.insert(
            0,
            ConfigDict(
                type='LinearLR',
                start_factor=1e-3,
                begin=0,
                end=warm_up,
                by_epoch=True,
                convert_to_iter_based=True))
