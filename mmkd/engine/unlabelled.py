"""Runs with unlabelled images beside the labelled ones."""
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple, Union

from mmengine.config import Config, ConfigDict

from mmkd.data.checks.datasets import parts_of
from mmkd.engine.label_free import augmentation, image_folder, packing
from mmkd.errors import ConfigError
from mmkd.utils.arguments import construct
from mmkd.utils.config import read_config

_SAMPLER = 'mmkd.MixedBatchSampler'


@dataclass
class Unlabelled:
    """The key ``unlabelled`` of a config.

    Attributes:
        data (str | list[str]): Folders, images, videos, or lists of them; see
            :class:`~mmkd.data.image_folder.ImageFolder`.
        ratio (float): Images for each labelled one of a batch. Defaults to 1.
        size (tuple[int, int], optional): Height and width in pixels of the
            crops. Defaults to None: those of the student's images.
        norm (str): ``unlabelled_norm`` of the model. Defaults to
            ``'update'``.
        every (int): Of a video, each how many frames one is taken. Defaults
            to 25.
    """
    data: Union[str, List[str]]
    ratio: float = 1.
    size: Optional[Sequence[int]] = None
    norm: str = 'update'
    every: int = 25


def expand_unlabelled(cfg: Config) -> Config:
    """Add unlabelled images to the batches of the training, if the config has
    the key ``unlabelled``.

    Only the distillers see them. They are augmented as in a run without
    labels.

    Args:
        cfg (Config): Config of a run, changed in place.

    Raises:
        ConfigError: If an option is wrong, or the config is no distillation
            with labels.
    """
    from mmkd.engine.configs import is_distillation
    if 'unlabelled' not in cfg:
        return cfg
    if not is_distillation(cfg) or cfg.model.get('label_free'):
        raise ConfigError('`unlabelled` needs a distillation config with '
                          'labelled data, without `label_free`')
    options = construct(Unlabelled, cfg.pop('unlabelled'), '`unlabelled`')
    size = options.size or _student_size(cfg)
    cfg.model['unlabelled_norm'] = options.norm
    loader = cfg.train_dataloader
    loader.dataset = ConfigDict(
        type='mmkd.MixedDataset',
        dataset=loader.dataset,
        unlabelled=image_folder(
            options.data,
            options.every,
            pipeline=augmentation(size, packing(cfg))))
    loader.batch_sampler = ConfigDict(
        type=_SAMPLER,
        ratio=options.ratio,
        batch_sampler=loader.get('batch_sampler'),
        drop_last=loader.pop('drop_last', False))
    return cfg


def labelled_only(cfg: Config) -> Config:
    """Undo :func:`expand_unlabelled`; other configs stay as they are."""
    loader = cfg.get('train_dataloader') or {}
    sampler = loader.get('batch_sampler') or {}
    if sampler.get('type') == _SAMPLER:
        loader.dataset = loader.dataset.dataset
        loader.batch_sampler = sampler.get('batch_sampler')
        loader.drop_last = sampler.get('drop_last', False)
    return cfg


def _student_size(cfg: Config) -> Tuple[int, int]:
    """Height and width in pixels of the student's training images.

    Raises:
        ConfigError: If its config does not tell.
    """
    student = cfg.model.get('student')
    model = read_config(student).get('model') if student else None
    size = _pair(((model or {}).get('data_preprocessor') or {}).get('size'))
    if size:
        return size
    outer = cfg.train_dataloader.dataset
    for part in [outer, *parts_of(outer)]:
        for transform in reversed(part.get('pipeline') or []):
            for key in ('size', 'crop_size', 'scale'):
                size = _pair(transform.get(key))
                if size:
                    return size if _height_first(
                        transform, cfg.get('default_scope')) else size[::-1]
    raise ConfigError("the config does not tell the size of the student's "
                      'images; give it, as in unlabelled=dict(data=..., '
                      'size=(height, width))')


def _height_first(transform: dict, default_scope: Optional[str]) -> bool:
    """Whether a transform's size is (height, width), as of mmseg's
    ``RandomCrop``; others take (width, height)."""
    scope, _, name = str(transform.get('type')).rpartition('.')
    return (scope or default_scope, name) == ('mmseg', 'RandomCrop')


def _pair(size: Any) -> Optional[Tuple[int, int]]:
    """Two sides in pixels; None if a size is something else."""
    sides = (size, size) if isinstance(size, int) else size
    if not isinstance(sides, (list, tuple)) or len(sides) != 2 or not all(
            isinstance(side, int) and not isinstance(side, bool)
            for side in sides):
        return None
    return sides[0], sides[1]
