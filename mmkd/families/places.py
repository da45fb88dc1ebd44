"""The standard places of all networks."""
from typing import Dict, List

from torch import nn

from mmkd.errors import ConfigError
from mmkd.families import Place, family_of

#: Places by name, as looked for in a network of no known library: all that
#: mmkd's own families have.
PLACES: Dict[str, Place] = family_of(nn.Module()).places


def standard_taps(network: nn.Module, place: str, name: str) -> List[str]:
    """The taps of a standard place in a network of a known family.

    Args:
        network (nn.Module): The network.
        place (str): A place of its family, such as one of :data:`PLACES`.
        name (str): What to call the network in messages.

    Returns:
        list[str]: One tap, or as many as there are levels.

    Raises:
        ConfigError: If the network has no such place.
    """
    own = family_of(network).places.get(place)
    paths = own.find(network) if own else []
    if not paths:
        known = own or PLACES.get(place)
        what = known.description if known else place
        raise ConfigError(
            f'{name} ({type(network).__name__}) has no standard place for '
            f'{place!r} ({what}); name the tap in the config. '
            '`mmkd taps` lists what can be tapped.')
    return paths
