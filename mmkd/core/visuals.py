"""What a method looks at, as data to draw."""
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from torch import Tensor

from mmkd.ops.connectors import match_size
from mmkd.ops.divergences import class_divergence
from mmkd.ops.precision import full_precision


@dataclass
class Visual:
    """One thing to draw, for each image of a batch.

    A kind of visual says where its values lie; how it is painted is known to
    :func:`mmkd.visualization.paint`, which further kinds register with.

    Attributes:
        name (str): What it shows, the same at every iteration.
        values (Sequence[Tensor]): The values of each image. NaN marks where
            the method does not look.
        group (str): Visuals of a group stand in one row, such as the level
            of a pyramid.
        limits (tuple[float, float], optional): Values of the first and of
            the last colour. None takes the range of the values.
        scale (str): Visuals of one image and scale share their colours; ''
            for colours of its own.
        log (bool): Whether colours go with the logarithm of the values; 0
            then counts as NaN.
        color (str, optional): A colour in which values from 0 to 1 are laid
            over the image, as their opacity. None paints a map of colours.
        changes (bool): Whether it is worth watching over the training.
    """
    name: str
    values: Sequence[Tensor]
    group: str = ''
    limits: Optional[Tuple[float, float]] = None
    scale: str = ''
    log: bool = False
    color: Optional[str] = None
    changes: bool = False


@dataclass
class Heatmap(Visual):
    """A number for each cell of a map, (N, H, W).

    Attributes:
        extent (tuple[float], optional): Region that the map covers, as
            ``(x_min, y_min, x_max, y_max)`` in metres, for a map in
            bird's-eye view whose rows go with y. None: the map covers the
            student's prepared image, padding included.
    """
    extent: Optional[Tuple[float, float, float, float]] = None


@dataclass
class Points(Visual):
    """A number for each of some points in bird's-eye view, (P, ) a scan.

    Attributes:
        positions (Sequence[Tensor]): x and y of each point in metres (in
            cells, where the method knows no metres), (P, 2) a scan.
        cloud (Sequence[Tensor]): What lies beneath in grey, in the same
            frame, (Q, 2) a scan. Defaults to ().
        edges (Sequence[Tensor]): Rows of the points that a line joins,
            (E, 2) a scan. Defaults to ().
        extent (tuple[float]): Region ``(x_min, y_min, x_max, y_max)`` that
            is shown.
    """
    positions: Sequence[Tensor] = ()
    cloud: Sequence[Tensor] = ()
    edges: Sequence[Tensor] = ()
    extent: Tuple[float, float, float, float] = (0., 0., 1., 1.)


@full_precision
def feature_distance(feat_s: Tensor, feat_t: Tensor) -> Tensor:
    """Root of the mean squared difference over the channels.

    Args:
        feat_s (Tensor): Student's map after its connector (N, C, H', W').
        feat_t (Tensor): Teacher's map (N, C, H, W).

    Returns:
        Tensor: (N, H, W).
    """
    gap = match_size(feat_s, feat_t) - feat_t
    return gap.square().mean(dim=1).sqrt()


@full_precision
def logits_distance(logits_s: Tensor,
                    logits_t: Tensor,
                    tau: float = 1.0,
                    valid: Optional[Tensor] = None) -> Tensor:
    """Divergence of the student's class probabilities from the teacher's.

    Args:
        logits_s (Tensor): Student's logits (N, C, H, W).
        logits_t (Tensor): Teacher's logits of the same shape.
        tau (float): Temperature. Defaults to 1.0.
        valid (Tensor, optional): Bool map (N, 1, H, W) of the cells that
            take part. Defaults to None: all.

    Returns:
        Tensor: (N, H, W); NaN at cells that take no part.
    """
    distance = class_divergence(logits_s, logits_t, tau)
    if valid is not None:
        distance = distance.masked_fill(~valid, float('nan'))
    return distance[:, 0]


def distances(students: Sequence[Tensor],
              teachers: Sequence[Tensor],
              name: str = 'distance of the features',
              role: str = 'level') -> List[Visual]:
    """:func:`feature_distance` of each level.

    Args:
        students (Sequence[Tensor]): Student's maps after their connectors.
        teachers (Sequence[Tensor]): Teacher's maps.
        name (str): Name of the visuals. Defaults to that of features.
        role (str): What a level is called. Defaults to ``'level'``.
    """
    return [
        Heatmap(
            name,
            feature_distance(feat_s, feat_t),
            f'{role} {i}',
            changes=True)
        for i, (feat_s, feat_t) in enumerate(zip(students, teachers))
    ]
