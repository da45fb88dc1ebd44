"""Building a student or a teacher from a config or network."""
from typing import Optional, Tuple, Union

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from torch import fx, nn

from mmkd.errors import ConfigError, MMKDError
from mmkd.utils.arguments import with_reason
from mmkd.utils.checkpoint import read_as_data
from mmkd.utils.config import ConfigLike, read_config

NetworkLike = Union[ConfigLike, nn.Module]


def network_config(
    cfg: ConfigLike, name: str,
    _within: Tuple[str, ...] = ()) -> Tuple[ConfigDict, Optional[str]]:
    """The model of a config, and its default scope.

    Args:
        cfg (str | dict | Config): ``'pkg::path'``, a file, a config or a
            model dict. For a distillation config, the student is used.
        name (str): Name of the network in messages.

    Returns:
        tuple[ConfigDict, str | None]: Arguments of the model with its
        ``data_preprocessor``, and the default scope if the config names one.

    Raises:
        ConfigError: If it has no model, or if it is its own student.
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
            :func:`network_config`, or a built network.
        name (str): Name of the network in messages.

    Raises:
        ConfigError: If its config cannot be read or built, or if it is a
            compiled or exported network.
    """
    if isinstance(network, nn.Module):
        _check_readable(network, name)
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


def build_untrained(network: NetworkLike, name: str) -> nn.Module:
    """Build a network that keeps the weights that it is built with.

    Some layers, such as mmdet's ``L2Norm`` in SSD, leave their weights to
    ``init_weights`` or a checkpoint, and the memory as it was until then.
    These get small random numbers.

    Args:
        network (str | dict | Config | nn.Module): As in
            :func:`build_network`.
        name (str): Name of the network in messages.

    Raises:
        ConfigError: If its config cannot be read or built.
    """
    if isinstance(network, nn.Module):
        return network
    before = torch.are_deterministic_algorithms_enabled()
    only_warn = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        built = build_network(network, name)
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warn)
    for parameter in built.parameters():
        if parameter.isnan().any():
            nn.init.normal_(parameter, std=0.02)
    return built


def _check_readable(network: nn.Module, name: str) -> None:
    """Check that hooks see the modules of a built network."""
    for path, module in network.named_modules():
        where = f'its module {path!r}' if path else 'it'
        # `nn.Module.compile` and `torch.compile` of a module.
        if module._compiled_call_impl is not None or hasattr(
                module, '_orig_mod'):
            raise ConfigError(
                f'{name}: {where} is compiled, so that the hooks of taps may '
                'never run; give the network as it was built')
        if isinstance(module, fx.GraphModule):
            raise ConfigError(
                f'{name}: {where} is an exported or traced graph, whose '
                'modules cannot be read; give the network as it was built')
