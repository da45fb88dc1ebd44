"""Taps with their meaning, and the standard places of a family."""
from typing import Callable, NamedTuple, Optional, Sequence, Union

from torch import nn


class KnownTap(NamedTuple):
    """A tap with the meaning of its tensors.

    Attributes:
        tap (str | dict): The tap, as in a config.
        kind (str, optional): Kind of its tensors, as the name of a place.
            None: the place that lists it.
        task (int, optional): Task of a head that has several.
        branch (str, optional): Output of a head, such as ``'heatmap'``.
        level (int): Index of its first level, among those of its kind, task
            and branch; negative if counted from the last one.
    """
    tap: Union[str, dict]
    kind: Optional[str] = None
    task: Optional[int] = None
    branch: Optional[str] = None
    level: int = 0


class Place(NamedTuple):
    """A standard place of a family's networks.

    Attributes:
        description (str): A short description of its tensors.
        find (Callable): Maps a network to its taps of this place, as
            :class:`KnownTap` or as in a config; the latter are consecutive
            levels. Returns an empty list if the network lacks the place.
        in_image (bool): Whether maps there cover the image.
    """
    description: str
    find: Callable[[nn.Module], Sequence[Union[str, dict, KnownTap]]]
    in_image: bool = True
