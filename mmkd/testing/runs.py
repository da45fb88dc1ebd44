"""Configs of very short runs."""
from typing import Any, Dict, Optional

from mmengine.config import Config, ConfigDict

from mmkd.testing.examples import PLAIN
from mmkd.testing.networks import segmentor


def segmentation_config(data_root: str,
                        work_dir: str,
                        model: Optional[dict] = None,
                        max_iters: int = 4,
                        seed: int = 0,
                        **options: Any) -> Config:
    """A plain run of mmseg on the images of :func:`write_cityscapes`.

    Args:
        data_root (str): Folder of the images.
        work_dir (str): Folder of the run.
        model (dict, optional): The segmentor; None takes
            :func:`~mmkd.testing.segmentor`. Defaults to None.
        max_iters (int): Training iterations. Defaults to 4.
        seed (int): Of the run. Defaults to 0.
        options: Settings that are merged into the config, with dots for
            levels written as two underscores:
            ``train_dataloader__batch_size=4``.

    Returns:
        Config: Config of the run.
    """
    cfg = Config(
        dict(
            default_scope='mmseg',
            model=model or segmentor()['model'],
            work_dir=work_dir,
            train_dataloader=_loader(data_root, 'train', True),
            val_dataloader=_loader(data_root, 'val', False),
            test_dataloader=_loader(data_root, 'val', False),
            val_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
            test_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
            train_cfg=dict(
                type='IterBasedTrainLoop',
                max_iters=max_iters,
                val_interval=max(max_iters, 1)),
            val_cfg=dict(type='ValLoop'),
            test_cfg=dict(type='TestLoop'),
            optim_wrapper=dict(
                type='OptimWrapper',
                optimizer=dict(
                    type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4)),
            param_scheduler=[
                dict(
                    type='PolyLR',
                    power=0.9,
                    begin=0,
                    end=max_iters,
                    by_epoch=False)
            ],
            default_hooks=dict(
                timer=dict(type='IterTimerHook'),
                logger=dict(
                    type='LoggerHook', interval=1, log_metric_by_epoch=False),
                param_scheduler=dict(type='ParamSchedulerHook'),
                checkpoint=dict(
                    type='CheckpointHook',
                    by_epoch=False,
                    interval=max(max_iters, 1)),
                sampler_seed=dict(type='DistSamplerSeedHook')),
            log_processor=dict(by_epoch=False),
            log_level='WARNING',
            randomness=dict(seed=seed)))
    cfg.merge_from_dict({
        key.replace('__', '.'): value
        for key, value in options.items()
    })
    return cfg


def _loader(data_root: str, split: str, train: bool) -> dict:
    """Data loader of a split; flips and shuffles for training."""
    flip = [dict(type='RandomFlip', prob=0.5)] if train else []
    return dict(
        batch_size=2 if train else 1,
        num_workers=0,
        sampler=dict(
            type='InfiniteSampler' if train else 'DefaultSampler',
            shuffle=train),
        dataset=dict(
            type='CityscapesDataset',
            data_root=data_root,
            data_prefix=dict(
                img_path=f'leftImg8bit/{split}',
                seg_map_path=f'gtFine/{split}'),
            serialize_data=False,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'), *flip,
                dict(type='PackSegInputs')
            ]))


def distillation_config(cfg: Config,
                        distillers: Dict[str, dict],
                        teachers: Optional[Dict[str, dict]] = None,
                        **model: Any) -> Config:
    """Turn the config of a plain run into a distillation config.

    Args:
        cfg (Config): Config of the plain run; not changed.
        distillers (dict[str, dict]): The methods.
        teachers (dict[str, dict], optional): The teachers. Defaults to None:
            an untrained one of twice the width.
        model: More arguments of
            :class:`~mmkd.core.DistillationModel`.

    Returns:
        Config: Config of the distillation run.
    """
    cfg = Config(cfg.to_dict())
    if teachers is None:
        teachers = dict(teacher=dict(cfg=segmentor(8), ckpt='random', **PLAIN))
    cfg.model = ConfigDict(
        type='mmkd.DistillationModel',
        student=cfg.model,
        teachers=teachers,
        distillers=distillers,
        **{
            'dry_run_size': (32, 64),
            **model
        })
    return cfg


def untrained(model: dict) -> None:
    """Make the model of a recipe need no files: random teachers and tokens.

    Args:
        model (dict): Changed in place.
    """
    teachers = [*model.get('teachers', {}).values()]
    if 'rewriter' in model:
        teachers.append(model['teacher'])
    for teacher in teachers:
        teacher['ckpt'] = 'random'
    for distiller in model.get('distillers', {}).values():
        if 'masks' in distiller:
            distiller['masks'] = 'random'
