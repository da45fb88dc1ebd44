"""Building a student or a teacher from whatever the user gives."""
import inspect
from typing import Optional, Tuple, Union

from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmkd.errors import ConfigError, MMKDError
from mmkd.utils.arguments import with_reason
from mmkd.utils.checkpoint import read_as_data
from mmkd.utils.config import ConfigLike, read_config

NetworkLike = Union[ConfigLike, nn.Module]


def network_config(
    cfg: ConfigLike, name: str,
    _within: Tuple[str, ...] = ()) -> Tuple[ConfigDict, Optional[str]]:
    """The model part of a config, and the scope that it is written in.

    Args:
        cfg (str | dict | Config): ``'pkg::path'``, a file, a whole config or
            a model dict. Of a distillation config, its student is taken.
        name (str): What to call the network in messages.

    Returns:
        tuple[ConfigDict, str | None]: Arguments of the model with its
        ``data_preprocessor``, and the default scope if the config names one.

    Raises:
        ConfigError: If there is no model in it, or if it is its own student.
    """
    if not isinstance(cfg, (str, dict, Config)):
        raise ConfigError(f'{name} is a config file, `pkg::path`, a dict or a '
                          f'network, not {cfg!r}')
    if isinstance(cfg, str):
        if cfg in _within:
            raise ConfigError(f'{name}: {cfg} has itself for a student')
        _within += (cfg, )
    try:
        config: Config = read_config(cfg)
    except ConfigError as error:
        raise ConfigError(f'{name}: {error}') from error
    model = config.get('model')
    if not isinstance(model, dict) or not ('type' in model
                                           or 'student' in model):
        raise ConfigError(f'{name}: there is no `model` in the config '
                          f'{config.filename or ""}')
    scope = config.get('default_scope')
    if str(model.get('type')).split('.')[-1] == 'DistillationModel':
        inner, inner_scope = network_config(
            model.get('student'), name, _within)
        return inner, inner_scope or scope
    # The libraries' models read `test_cfg.mode` and the like.
    model = ConfigDict(model)
    if 'data_preprocessor' in config:
        model.setdefault('data_preprocessor', config['data_preprocessor'])
    return model, scope


def build_network(network: NetworkLike, name: str) -> nn.Module:
    """Build a network, in the scope of its own library.

    Args:
        network (str | dict | Config | nn.Module): As in
            :func:`network_config`, or a network that is built already.
        name (str): What to call it in messages.

    Raises:
        ConfigError: If its config cannot be read or built.
    """
    if isinstance(network, nn.Module):
        return network
    read_as_data()
    model, scope = network_config(network, name)
    try:
        if scope is None:
            return MODELS.build(model)
        with DefaultScope.overwrite_default_scope(scope):
            return MODELS.build(model)
    except MMKDError:
        raise
    except Exception as error:
        raise ConfigError(
            with_reason(f'{name}: cannot build {model.get("type")}',
                        error)) from error


def frozen_mode(network: nn.Module, mode: str = 'tensor') -> str:
    """The mode of ``forward`` for a network that is not trained.

    Args:
        network (nn.Module): The network.
        mode (str): What is asked for. Defaults to ``'tensor'``.

    Returns:
        str: ``mode``, or ``'predict'`` for a network that lacks the mode
        ``'tensor'``: ``_forward`` of mmdet3d's ``MVXTwoStageDetector`` is an
        empty method that takes no data.
    """
    plain = getattr(network, '_forward', None)
    lacking = plain and not inspect.signature(plain).parameters
    return 'predict' if lacking and mode == 'tensor' else mode


def trial_modes(network: nn.Module, mode: str = 'tensor') -> Tuple[str, ...]:
    """The modes to try in a dry run of a network that is not trained.

    Args:
        network (nn.Module): The network.
        mode (str): As in :func:`frozen_mode`. Defaults to ``'tensor'``.
    """
    found = frozen_mode(network, mode)
    # To predict with an untrained network takes long, as it suppresses boxes
    # by the thousand; a step ends at the last tap.
    return (mode, ) if found == mode else ('loss', found)
