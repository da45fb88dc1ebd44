"""The standard places of all networks."""
from typing import Dict, List, Union

from torch import nn

from mmkd.errors import MismatchError
from mmkd.families import Place, family_of

#: Places by name for networks of unknown libraries: all places of mmkd's own
#: families.
PLACES: Dict[str, Place] = family_of(nn.Module()).places


def standard_taps(network: nn.Module, place: str,
                  name: str) -> List[Union[str, dict]]:
    """The taps of a standard place in a network.

    Args:
        network (nn.Module): The network.
        place (str): A place of its family, such as one of :data:`PLACES`.
        name (str): Name of the network in messages.

    Returns:
        list[str | dict]: One tap, or as many as there are levels.

    Raises:
        MismatchError: If the network has no such place.
    """
    family = family_of(network)
    taps = [known.tap for known in family.taps(network, place)]
    if not taps:
        known = family.places.get(place) or PLACES.get(place)
        what = known.description if known else place
        raise MismatchError(
            f'{name} ({type(network).__name__}) has no standard place for '
            f'{place!r} ({what}); name the tap in the config. '
            '`mmkd taps` lists all taps.')
    return taps
