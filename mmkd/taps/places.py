"""Where the standard places lie in the libraries' model families."""
from typing import Callable, Dict, Optional, Tuple

from torch import nn

from mmkd.errors import ConfigError


def _logits(network: nn.Module) -> Optional[str]:
    head = getattr(network, 'decode_head', None)
    if isinstance(head, nn.ModuleList):  # a cascade: the last head decides
        last = len(head) - 1
        return f'decode_head.{last}.conv_seg' if hasattr(
            head[last], 'conv_seg') else None
    return 'decode_head.conv_seg' if hasattr(head, 'conv_seg') else None


def _stages(network: nn.Module) -> Optional[str]:
    for name in ('backbone', 'pts_backbone', 'img_backbone'):
        if isinstance(getattr(network, name, None), nn.Module):
            return name
    return None


def _neck(network: nn.Module) -> Optional[str]:
    for name in ('neck', 'pts_neck', 'img_neck'):
        if isinstance(getattr(network, name, None), nn.Module):
            return name
    return None


#: Name of a place -> what it is, and where it lies in a network.
PLACES: Dict[str, Tuple[str, Callable[[nn.Module], Optional[str]]]] = {
    'logits': ('class scores of the deciding segmentation head', _logits),
    'stages': ('outputs of the backbone', _stages),
    'neck': ('levels of the neck', _neck),
}


def standard_tap(network: nn.Module, place: str, name: str) -> str:
    """The tap of a standard place in a network of a known family.

    Args:
        network (nn.Module): A model of mmseg, mmdet or mmdet3d.
        place (str): One of :data:`PLACES`.
        name (str): What to call the network in messages.

    Raises:
        ConfigError: If the network has no such place.
    """
    what, find = PLACES.get(place, (place, lambda network: None))
    path = find(network)
    if path is None:
        raise ConfigError(
            f'{name} ({type(network).__name__}) has no standard place for '
            f'{place!r} ({what}); name the tap in the config. '
            '`tools/list_taps.py` lists what can be tapped.')
    return path
