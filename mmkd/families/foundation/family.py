"""Conventions of networks of other libraries."""
from typing import Any, Dict, Optional

from torch import Tensor, nn

from mmkd.families.base import Family
from mmkd.families.foundation.network import FoundationNetwork
from mmkd.families.taps import KnownTap, Place


class FoundationFamily(Family):
    """Networks of timm, transformers and files; see
    :class:`~mmkd.families.foundation.network.FoundationNetwork`."""
    name = 'foundation'

    def __init__(self) -> None:
        super().__init__()
        self.places: Dict[str, Place] = {
            'summary':
            Place(
                'what it says of the whole image',
                lambda x: [KnownTap('summary')],
                in_image=False),
            'maps':
            Place('maps of the levels that it shows',
                  lambda x: [KnownTap('maps')]),
            'features':
            Place('map of the last level',
                  lambda x: [KnownTap('maps[-1]', level=-1)]),
            'stages':
            Place('maps of the levels that it shows',
                  lambda x: [KnownTap('maps')]),
        }

    def matches(self, network: nn.Module) -> bool:
        """See the base class."""
        return isinstance(network, FoundationNetwork)

    def describe(self, network: nn.Module) -> str:
        """The name on its card."""
        return self._checked(network).card.name

    def notes(self, network: nn.Module) -> Optional[str]:
        """See the base class."""
        return self._checked(network).notes()

    def origin(self, network: nn.Module) -> Dict[str, str]:
        """Also the ``licence`` on its card."""
        return self._checked(network).origin()

    def own_weights(self, network: nn.Module,
                    state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """See the base class."""
        return self._checked(network).own_weights(state_dict)

    @staticmethod
    def _checked(network: Any) -> FoundationNetwork:
        assert isinstance(network, FoundationNetwork)
        return network
