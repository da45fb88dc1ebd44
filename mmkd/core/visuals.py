"""Values of a method, such as masks and distances, as data to draw."""
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.connectors import match_size
from mmkd.ops.divergences import class_divergence
from mmkd.ops.precision import full_precision


@dataclass
class Visual:
    """Values to draw for each image of a batch.

    Subclasses define the positions of the values.
    :func:`mmkd.visualization.paint` paints them; register a function there
    for a new subclass.

    Attributes:
        name (str): Title, the same at every iteration.
        values (Sequence[Tensor]): The values of each image. NaN marks cells
            that the method does not use.
        group (str): Visuals of a group are drawn in one row, such as the
            level of a pyramid.
        limits (tuple[float, float], optional): Values of the first and the
            last colour. None uses the range of the values.
        scale (str): Visuals of an image with the same scale share their
            colours; '' means separate colours.
        log (bool): Whether colours are logarithmic; 0 then counts as NaN.
        color (str, optional): Colour of an overlay whose opacity is the
            value, from 0 to 1. None uses a colour map.
        changes (bool): Whether to draw its change over the training.
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
        extent (tuple[float], optional): Region of a map in bird's-eye view,
            ``(x_min, y_min, x_max, y_max)`` in metres, with rows along y.
            None: the map covers the student's prepared image, including
            padding.
    """
    extent: Optional[Tuple[float, float, float, float]] = None


@dataclass
class Colours(Visual):
    """Colours of the cells of a map, (N, H, W, 3) in RGB from 0 to 1.

    The map covers the student's prepared image, including padding.
    """


@dataclass
class Points(Visual):
    """A number for each of some points in bird's-eye view, (P, ) per scan.

    Attributes:
        positions (Sequence[Tensor]): x and y of each point in metres (or in
            cells, if metres are not available), (P, 2) per scan.
        cloud (Sequence[Tensor]): Background points in grey, in the same
            frame, (Q, 2) per scan. Defaults to ().
        edges (Sequence[Tensor]): Row indices of points that are joined by a
            line, (E, 2) per scan. Defaults to ().
        extent (tuple[float]): Region to show, ``(x_min, y_min, x_max,
            y_max)``.
    """
    positions: Sequence[Tensor] = ()
    cloud: Sequence[Tensor] = ()
    edges: Sequence[Tensor] = ()
    extent: Tuple[float, float, float, float] = (0., 0., 1., 1.)


@full_precision
def principal_colours(feats: Sequence[Tensor],
                      like: Optional[Tensor] = None) -> List[Tensor]:
    """Colour the cells of maps by their first three principal components.

    Cells with similar features have similar colours. Of each component, the
    range without the lowest and the highest 2 % becomes 0 to 1.

    Args:
        feats (Sequence[Tensor]): Maps (N, C, H, W).
        like (Tensor, optional): The map whose components and ranges all maps
            share, with as many channels. Defaults to None: each has its own.

    Returns:
        list[Tensor]: (N, H, W, 3), red being the first component.
    """
    found = []
    for feat in feats:
        basis = (feat if like is None else like).movedim(1, -1).flatten(0, -2)
        mean = basis.mean(0)
        count = min(3, *basis.shape)
        # Some more than needed make the first ones accurate.
        vectors = torch.pca_lowrank(
            basis, q=min(count + 5, *basis.shape))[2][:, :count]
        # The sign of a component is arbitrary.
        vectors = vectors * vectors.gather(
            0,
            vectors.abs().argmax(0, keepdim=True)).sign()
        low, high = ((basis - mean) @ vectors).quantile(
            torch.tensor([.02, .98], device=feat.device), dim=0)
        parts = (feat.movedim(1, -1) - mean) @ vectors
        parts = (parts - low) / (high - low).clamp(min=1e-12)
        found.append(F.pad(parts.clamp(0, 1), (0, 3 - count)))
    return found


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
        valid (Tensor, optional): Bool map (N, 1, H, W) of the cells to
            include. Defaults to None: all.

    Returns:
        Tensor: (N, H, W); NaN in excluded cells.
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
        role (str): Name of a level. Defaults to ``'level'``.
    """
    return [
        Heatmap(
            name,
            feature_distance(feat_s, feat_t),
            f'{role} {i}',
            changes=True)
        for i, (feat_s, feat_t) in enumerate(zip(students, teachers))
    ]
