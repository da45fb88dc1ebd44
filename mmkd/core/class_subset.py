"""Teachers of which only some classes are kept."""
from typing import Any, Dict, List, Optional, Sequence

from mmengine.config import ConfigDict
from mmengine.registry import DATASETS
from torch import Tensor, nn

from mmkd.core.network import network_config
from mmkd.errors import ConfigError
from mmkd.utils.config import ConfigLike, read_config


class ClassSubset:
    """Some of the classes that a network was trained on, in an order.

    A layer that scores classes keeps the outputs of these, so that the scores
    of each are those of the whole network.

    Args:
        wanted (Sequence[str]): Names of the classes to keep.
        known (Sequence[str]): Names of all, in the order of the weights.
        name (str): What to call the network in messages.

    Raises:
        ConfigError: If a name is not known or given twice.
    """

    def __init__(self, wanted: Sequence[str], known: Sequence[str],
                 name: str) -> None:
        if isinstance(wanted, str) or len(set(wanted)) < len(wanted):
            raise ConfigError(f'{name}: `classes` is a list of different '
                              f'names, not {wanted!r}')
        unknown = [each for each in wanted if each not in known]
        if unknown:
            raise ConfigError(
                f'{name}: it was not trained on {unknown[0]!r}, one of '
                f'`classes`; it knows {", ".join(known)}')
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
            ConfigError: If no part of it has as many classes as are known.
        """
        model, scope = network_config(cfg, self.name)
        model = ConfigDict(model.to_dict())
        if not _replace(model, self._all, len(self.names)):
            raise ConfigError(
                f'{self.name}: `classes` needs a head with `num_classes='
                f'{self._all}`, and its config has none')
        return ConfigDict(model=model, default_scope=scope)

    def weights(self, network: nn.Module,
                state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """The part of the weights that these classes need.

        Args:
            network (nn.Module): Built from :meth:`config`.
            state_dict (dict[str, Tensor]): The weights for all classes.

        Returns:
            dict[str, Tensor]: Weights of the network; one of another shape
            than its own is left as it is.
        """
        found = dict(state_dict)
        for key, own in network.state_dict().items():
            given = state_dict.get(key)
            if given is None or given.shape == own.shape:
                continue
            part = self._part(key, given)
            if part is not None and part.shape == own.shape:
                found[key] = part
        return found

    def _part(self, key: str, given: Tensor) -> Optional[Tensor]:
        """The outputs of the kept classes, of a layer that has some of each
        class; the background, if any, comes last."""
        for background in (False, True):
            number = self._all + background
            if not given.dim() or len(given) % number:
                continue
            index = self._index + [self._all] * background
            rest = given.shape[1:]
            # Boxes that are regressed for each class: those of a class are
            # side by side, while its scores for the anchors are not.
            if 'reg' in key.split('.')[-2]:
                return given.view(number, -1, *rest)[index].flatten(0, 1)
            return given.view(-1, number, *rest)[:, index].flatten(0, 1)
        return None


def config_classes(cfg: Any) -> Optional[List[str]]:
    """Names of the classes that a config trains, None if it does not say.

    Args:
        cfg (str | dict | Config): A config or its file.
    """
    config = read_config(cfg)
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    while 'type' in dataset and ('dataset' in dataset
                                 or 'datasets' in dataset):
        inner = dataset.get('dataset', dataset.get('datasets'))
        dataset = inner[0] if isinstance(inner, (list, tuple)) else inner
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None and 'type' in dataset:
        with DATASETS.switch_scope_and_registry(
                config.get('default_scope')) as registry:
            kind = registry.get(dataset['type'])
        classes = getattr(kind, 'METAINFO', {}).get('classes')
    return list(map(str, classes)) if isinstance(classes,
                                                 (list, tuple)) else None


def classes_to_keep(student: ConfigLike,
                    teacher: ConfigLike) -> Optional[List[str]]:
    """The student's classes, if the teacher of mmdet or mmseg scores these
    and others, or in another order.

    Args:
        student (str | dict | Config): Its config, with its data.
        teacher (str | dict | Config): The same of the teacher.

    Returns:
        list[str], optional: What :class:`Teacher` takes as ``classes``.
    """
    if read_config(teacher).get('default_scope') not in ('mmdet', 'mmseg'):
        return None
    wanted, known = config_classes(student), config_classes(teacher)
    if not wanted or not known or wanted == known:
        return None
    try:
        ClassSubset(wanted, known, 'the teacher').config(teacher)
    except ConfigError:
        return None
    return wanted


def _replace(part: Any, old: int, new: int) -> int:
    """Replace the number of classes wherever a config has it; how often."""
    if isinstance(part, (list, tuple)):
        return sum(_replace(each, old, new) for each in part)
    if not isinstance(part, dict):
        return 0
    found = sum(_replace(each, old, new) for each in part.values())
    for key in ('num_classes', 'num_things_classes'):
        if part.get(key) == old:
            part[key] = new
            found += 1
    return found
