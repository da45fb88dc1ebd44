"""Teachers of which only some classes are kept."""
from typing import Any, Dict, Iterator, List, Optional, Sequence

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DATASETS
from torch import Tensor, nn

from mmkd.core.network import network_config
from mmkd.errors import ConfigError
from mmkd.utils.config import ConfigLike, read_config

_LIBRARIES = ('mmdet', 'mmseg')
#: Layers with some outputs for each class. Of a score, the classes of an
#: anchor are side by side; of a box, its numbers for a class.
_SCORES = ('retina_cls', 'gfl_cls', 'atss_cls', 'conv_cls', 'rtm_cls',
           'multi_level_conv_cls', 'cls_convs', 'fc_cls', 'cls_branches',
           'cls_embed', 'label_embedding', 'conv_logits', 'conv_seg')
_BOXES = ('fc_reg', )
#: Heads whose score of a class depends on the scores of the others.
_MIXING = ('OCRHead', 'IterativeDecodeHead')
#: Heads in which :func:`classes_to_keep` keeps classes unasked: those that
#: methods on class scores read.
_COMMON = ('RetinaHead', 'GFLHead', 'ATSSHead', 'FCOSHead', 'YOLOXHead',
           'RTMDetHead', 'RTMDetSepBNHead', 'Shared2FCBBoxHead', 'FCNMaskHead',
           'FCNHead', 'PSPHead', 'ASPPHead', 'DepthwiseSeparableASPPHead',
           'DepthwiseSeparableFCNHead', 'UPerHead', 'SegformerHead', 'FPNHead',
           'LRASPPHead')


class ClassSubset:
    """Some of the classes that a network of mmdet or mmseg was trained on.

    Args:
        wanted (Sequence[str]): Names of the classes to keep, in any order.
        known (Sequence[str]): Names of all, in the order of the weights.
        name (str): What to call the network in messages.

    Raises:
        ConfigError: If these are not some of the known names, each once.
    """

    def __init__(self, wanted: Sequence[str], known: Sequence[str],
                 name: str) -> None:
        if isinstance(wanted, str) or not wanted or len(
                set(wanted)) < len(wanted):
            raise ConfigError(f'{name}: `classes` is a list of different '
                              f'names, not {wanted!r}')
        unknown = [each for each in wanted if each not in known]
        if unknown:
            more = ', ...' * (len(known) > 5)
            raise ConfigError(
                f'{name}: `classes` has {unknown[0]!r}, but it was trained on '
                f'{", ".join(known[:5])}{more}; leave `classes` out to keep '
                'all of its own')
        if len(wanted) == len(known):
            raise ConfigError(
                f'{name}: `classes` are those that it was trained on, in '
                'another order; give the data set the order of the teacher: '
                f'{", ".join(known)}')
        self.names = list(wanted)
        self.name = name
        self._index = [list(known).index(each) for each in wanted]
        self._all = len(known)

    def config(self, cfg: ConfigLike) -> ConfigDict:
        """The network's config with this number of classes.

        Args:
            cfg (str | dict | Config): As :func:`.network.network_config`
                takes it.

        Raises:
            ConfigError: If it is of another library, has no head for as many
                classes as are known, or one that mixes them.
        """
        model, scope = network_config(cfg, self.name)
        scope = scope or model.get('_scope_')
        if scope not in _LIBRARIES:
            raise ConfigError(f'{self.name}: `classes` is for networks of '
                              f'mmdet and mmseg, not of {scope}')
        model = ConfigDict(model.to_dict())
        parts = list(_with_classes(model, self._all))
        if not parts:
            raise ConfigError(
                f'{self.name}: `classes` needs a head with `num_classes='
                f'{self._all}`, and its config has none')
        for part in parts:
            if part.get('type') in _MIXING:
                raise ConfigError(
                    f'{self.name}: a {part.type} needs all of its classes, so '
                    'leave `classes` out, and distil features')
            self._narrow(part)
        return ConfigDict(model=model, default_scope=scope)

    def _narrow(self, part: ConfigDict) -> None:
        for key in ('num_classes', 'num_things_classes', 'out_channels'):
            if part.get(key) == self._all:
                part[key] = len(self.names)
        losses = part.get('loss_decode', part.get('loss_cls'))
        for loss in losses if isinstance(losses, list) else [losses]:
            weights = (loss or {}).get('class_weight')
            if isinstance(weights, list) and len(weights) >= self._all:
                loss.class_weight = [weights[i] for i in self._index
                                     ] + weights[self._all:]

    def weights(self, network: nn.Module,
                state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """The part of the weights that these classes need.

        Args:
            network (nn.Module): Built from :meth:`config`.
            state_dict (dict[str, Tensor]): The weights for all classes.

        Returns:
            dict[str, Tensor]: Weights of the network.

        Raises:
            ConfigError: If a layer depends on the classes in a way that is
                not known, or none does.
        """
        found = dict(state_dict)
        differ = [
            key for key, own in network.state_dict().items()
            if key in found and found[key].shape != own.shape
        ]
        for key in differ:
            shape = network.state_dict()[key].shape
            part = self._part(key, state_dict[key], shape)
            if part is None:
                raise ConfigError(
                    f'{self.name}: `classes` cannot take those of {key}, '
                    f'{tuple(state_dict[key].shape)} in the file and '
                    f'{tuple(shape)} for {len(self.names)} of {self._all} '
                    'classes; leave `classes` out')
            found[key] = part
        if not differ:
            raise ConfigError(f'{self.name}: none of its layers depends on '
                              'the number of classes; leave `classes` out')
        return found

    def _part(self, key: str, given: Tensor,
              shape: torch.Size) -> Optional[Tensor]:
        """The outputs of the kept classes; the background, if any, is the
        last class."""
        layer = [x for x in key.split('.')[:-1] if not x.isdigit()][-1:]
        if not layer or layer[0] not in _SCORES + _BOXES:
            return None
        for background in (False, True):
            number = self._all + background
            if len(given) % number:
                continue
            index = self._index + [self._all] * background
            rest = given.shape[1:]
            if layer[0] in _BOXES:
                part = given.reshape(number, -1, *rest)[index]
            else:
                part = given.reshape(-1, number, *rest)[:, index]
            if part.numel() == shape.numel():
                return part.reshape(shape)
        return None


def config_classes(cfg: ConfigLike) -> Optional[List[str]]:
    """Names of the classes that a config trains, None if it does not say.

    Args:
        cfg (str | dict | Config): A config or its file.
    """
    config = read_config(cfg)
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    while dataset.get('dataset') or dataset.get('datasets'):  # wrappers
        inner = dataset.get('dataset') or dataset['datasets']
        dataset = inner[0] if isinstance(inner, (list, tuple)) else inner
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None:
        kind = dataset.get('type')
        if isinstance(kind, str):
            with DATASETS.switch_scope_and_registry(
                    config.get('default_scope')) as registry:
                kind = registry.get(kind)
        classes = getattr(kind, 'METAINFO', {}).get('classes')
    return list(map(str, classes)) if isinstance(classes,
                                                 (list, tuple)) else None


def classes_to_keep(student: ConfigLike,
                    teacher: ConfigLike) -> Optional[List[str]]:
    """The student's classes, if the teacher has a common head of mmdet or
    mmseg that scores these among others.

    Args:
        student (str | dict | Config): Its config, with its data.
        teacher (str | dict | Config): The same of the teacher.

    Returns:
        list[str], optional: What :class:`Teacher` takes as ``classes``.
    """
    try:
        if read_config(teacher).get('default_scope') not in _LIBRARIES:
            return None
        wanted, known = config_classes(student), config_classes(teacher)
        if not wanted or not known:
            return None
        model, _ = network_config(teacher, 'the teacher')
        types = {part.get('type') for part in _with_classes(model, len(known))}
        ClassSubset(wanted, known, 'the teacher').config(teacher)
    except ConfigError:
        return None
    return wanted if types <= set(_COMMON) else None


def _with_classes(part: Any, number: int) -> Iterator[ConfigDict]:
    """The parts of a model that have this number of classes."""
    if isinstance(part, (list, tuple)):
        for each in part:
            yield from _with_classes(each, number)
    elif isinstance(part, dict):
        if number in (part.get('num_classes'), part.get('num_things_classes')):
            yield part
        for each in part.values():
            yield from _with_classes(each, number)
