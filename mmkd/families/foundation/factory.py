"""Any module of an installed package as a teacher."""
from importlib import import_module
from typing import Any, List, Optional, Sequence, Tuple, Union

from torch import Tensor, nn

from mmkd.errors import ConfigError
from mmkd.families.foundation.network import (Card, Features,
                                              FoundationNetwork, Size,
                                              patch_size, to_map)
from mmkd.registry import MODELS


class OutputNetwork(FoundationNetwork):
    """A network of which only the outputs are known.

    An output (N, C, h, w) is a map; (N, tokens, C) becomes one; and (N, D) is
    the summary. Of a dict, ``x_norm_patchtokens`` and ``x_norm_clstoken``, as
    DINOv2 names them, or else all tensors are taken.

    Args:
        model (nn.Module): The network.
        card (Card): What is known of it.
        prefix (int): Number of class and register tokens, which come before
            those of the patches. Defaults to 0.
        patch (int | Sequence[int], optional): Height and width in pixels of
            a patch. Defaults to None: the outputs are no tokens.
        size (str | dict | Sequence[int]): See :class:`FoundationNetwork`.
    """

    def __init__(self,
                 model: nn.Module,
                 card: Card,
                 prefix: int = 0,
                 patch: Union[int, Sequence[int], None] = None,
                 size: Size = 'nearest') -> None:
        sides = (1, 1) if patch is None else patch_size(patch)
        super().__init__(model, card, sides, size)
        self.prefix = prefix
        self.has_tokens = patch is not None

    def run(self, images: Tensor) -> Any:
        """What the network returns."""
        return self.model(images)

    def features(self, images: Tensor) -> Features:
        """See the base class."""
        found = self.run(images)
        prefix = self.prefix
        if isinstance(found, dict) and 'x_norm_patchtokens' in found:
            prefix = 0
            found = [found['x_norm_patchtokens'], found.get('x_norm_clstoken')]
        maps: List[Tensor] = []
        summary: Optional[Tensor] = None
        for tensor in _tensors(found):
            if tensor.dim() == 4:
                maps.append(tensor)
            elif tensor.dim() == 3:
                maps.append(
                    to_map(tensor, self._grid(images), prefix, self.card.name))
            elif tensor.dim() == 2 and summary is None:
                summary = tensor
        if not maps:
            raise ConfigError(f'{self.card.name} gives no map (N, C, h, w) '
                              'and no tokens (N, tokens, C)')
        return maps, summary

    def _grid(self, images: Tensor) -> Tuple[int, int]:
        if not self.has_tokens:
            raise ConfigError(f'{self.card.name} gives tokens; set `patch`, '
                              'the size of a patch in pixels, and `prefix`')
        height, width = images.shape[-2:]
        return height // self.patch[0], width // self.patch[1]


def _tensors(value: Any) -> List[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    values = value.values() if isinstance(value, dict) else value
    return [tensor for item in values or () for tensor in _tensors(item)]


@MODELS.register_module()
class FactoryNetwork(OutputNetwork):
    """What a function of an installed package builds.

    Args:
        factory (str): ``'package.module:function'``; it is called without
            arguments, unless ``arguments`` has some.
        arguments (dict, optional): Its arguments. Defaults to None.
        method (str): Method of the network to call with the images. Defaults
            to ``'forward'``.
        mean (Sequence[float], optional): Mean of red, green and blue, from 0
            to 1. Defaults to None: the attribute ``mean`` of the network.
        std (Sequence[float], optional): Their standard deviation, likewise.
        prefix (int): See :class:`OutputNetwork`.
        patch (int | Sequence[int], optional): Likewise.
        size (str | dict | Sequence[int]): See :class:`FoundationNetwork`.

    Raises:
        ConfigError: If the function cannot be found or called.
    """

    def __init__(self,
                 factory: str,
                 arguments: Optional[dict] = None,
                 method: str = 'forward',
                 mean: Optional[Sequence[float]] = None,
                 std: Optional[Sequence[float]] = None,
                 prefix: int = 0,
                 patch: Union[int, Sequence[int], None] = None,
                 size: Size = 'nearest') -> None:
        name = f'torch::{factory}'
        model = _call(factory, arguments or {}, name)
        mean = getattr(model, 'mean', None) if mean is None else mean
        std = getattr(model, 'std', None) if std is None else std
        if mean is None or std is None:
            raise ConfigError(
                f'{name}: mean and std of its images are not known; give '
                "them, from 0 to 1: cfg=dict(type='mmkd.FactoryNetwork', "
                f"factory='{factory}', mean=[...], std=[...])")
        if not callable(getattr(model, method, None)):
            raise ConfigError(f'{name}: {type(model).__name__} has no method '
                              f'{method!r}')
        super().__init__(model, Card(name, list(mean), list(std)), prefix,
                         patch, size)
        self.method = method

    def run(self, images: Tensor) -> Any:
        """See the base class."""
        # Not `self.model.forward`, which would run no hooks.
        return self.model(images) if self.method == 'forward' else getattr(
            self.model, self.method)(
                images)


def _call(factory: str, arguments: dict, name: str) -> nn.Module:
    module, _, function = factory.partition(':')
    if not function:
        raise ConfigError(f'{name}: write torch::package.module:function')
    try:
        model = getattr(import_module(module), function)(**arguments)
    except Exception as error:  # of the user's code
        raise ConfigError(f'{name}: {type(error).__name__}: '
                          f'{str(error)[:160]}') from error
    if not isinstance(model, nn.Module):
        raise ConfigError(f'{name} gives {type(model).__name__}, not a module')
    return model
