"""Taps that a family knows, and where many of its networks have them."""
from typing import Callable, NamedTuple, Optional, Sequence, Union

from torch import nn


class KnownTap(NamedTuple):
    """A tap of which a family knows what it gives.

    Attributes:
        tap (str | dict): The tap, as in a config.
        kind (str, optional): What its tensors are, as the name of a place;
            None: what lists it.
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
    """A place that many networks of a family have.

    Attributes:
        description (str): What lies there.
        find (Callable): Maps a network to its taps of this place, as
            :class:`KnownTap` or as in a config; the latter are levels in
            turn. An empty list if it lacks the place.
        in_image (bool): Whether maps there cover the image.
    """
    description: str
    find: Callable[[nn.Module], Sequence[Union[str, dict, KnownTap]]]
    in_image: bool = True
