"""Graphs of voxels, cells or points: centres, neighbours and weights."""
from typing import List, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor

from mmkd.methods.pointdistiller.options import PointDistillerOptions
from mmkd.ops.precision import full_precision


@torch.no_grad()
def choose_centres(importance: Tensor, num: int, how: str = 'top') -> Tensor:
    """Choose the centres of the graphs.

    This is the importance sampling of PointDistiller (arXiv 2205.11098). Ties
    are broken arbitrarily.

    Args:
        importance (Tensor): Importance of each node, (M, ).
        num (int): Number of centres; all nodes if there are fewer.
        how (str): ``'top'`` for the most important nodes, ``'bottom'`` for
            the least important, ``'random'`` for sampling without
            replacement, ``'mixed'`` for half top and half bottom. Defaults to
            ``'top'``.

    Returns:
        Tensor: Indices of the centres, (min(num, M), ).
    """
    num = min(num, importance.numel())
    if how == 'random':
        return torch.randperm(
            importance.numel(), device=importance.device)[:num]
    low = dict(top=0, bottom=num, mixed=num // 2)[how]
    return torch.cat([
        importance.topk(num - low).indices,
        importance.topk(low, largest=False).indices
    ])


@torch.no_grad()
@full_precision
def nearest_nodes(nodes: Tensor,
                  centres: Tensor,
                  num: int,
                  budget_mib: float = 64.) -> Tensor:
    """Find the exact nearest nodes of each centre.

    The distance is the squared Euclidean distance between feature vectors, in
    float32. A centre is one of its own neighbours (at distance 0), unless
    ``num`` others coincide with it. Distances are computed for as many centres
    at a time as the budget allows, so there is no matrix of all pairs.

    Args:
        nodes (Tensor): Features of the nodes, (M, C).
        centres (Tensor): Indices of the centres, (N, ).
        num (int): Neighbours per centre; all nodes if there are fewer.
        budget_mib (float): Size of the block of distances in MiB; at least
            one centre is processed at a time. Defaults to 64.

    Returns:
        Tensor: Indices of the neighbours in no particular order,
        (N, min(num, M)).
    """
    num = min(num, len(nodes))
    found = centres.new_empty((len(centres), num))
    if not found.numel():
        return found
    # ||x||^2 - 2 q.x ranks like ||q - x||^2, since q is constant per row.
    norms = nodes.square().sum(dim=1)
    rows = int(budget_mib * 2**20 / (nodes.element_size() * len(nodes)))
    rows = min(max(rows, 1), len(centres))
    block = nodes.new_empty((rows, len(nodes)))
    for begin in range(0, len(centres), rows):
        queries = nodes[centres[begin:begin + rows]]
        distances = torch.addmm(
            norms, queries, nodes.t(), alpha=-2, out=block[:len(queries)])
        found[begin:begin + rows] = distances.topk(
            num, largest=False, sorted=False).indices
    return found


@torch.no_grad()
@full_precision
def centre_weights(importance: Tensor, tau: float) -> Tensor:
    """Weights of the centres, ``N * softmax(importance / tau)``.

    Args:
        importance (Tensor): Importance of each centre, (N, ).
        tau (float): Temperature; larger values give more uniform weights.

    Returns:
        Tensor: Weights in float32 with the mean 1, (N, ).
    """
    return len(importance) * (importance.float() / tau).softmax(dim=0)


def match_voxels(coors_s: Tensor, coors_t: Tensor) -> Tuple[Tensor, Tensor]:
    """Match the voxels that two networks have in common.

    Args:
        coors_s (Tensor): Sample and cell ``(b, z, y, x)`` of each voxel of
            the student, integer, (M, 4), without duplicates.
        coors_t (Tensor): The same for the teacher, in the same grid, (M', 4).

    Returns:
        tuple[Tensor, Tensor]: Rows of the common voxels in the student and in
        the teacher, in the order of the teacher, both (L, ).
    """
    keys_s, keys_t = _keys(coors_s, coors_t)
    if not keys_s.numel() or not keys_t.numel():
        return keys_s.new_empty(0), keys_t.new_empty(0)
    keys_s, order = keys_s.sort()
    at = torch.searchsorted(keys_s, keys_t).clamp(max=len(keys_s) - 1)
    rows_t = (keys_s[at] == keys_t).nonzero().squeeze(1)
    return order[at[rows_t]], rows_t


def points_per_voxel(coors_points: Tensor, coors_voxels: Tensor) -> Tensor:
    """Count the points of each voxel, for dynamic voxelisation.

    Args:
        coors_points (Tensor): Sample and cell ``(b, z, y, x)`` of each
            point, integer, (P, 4); negative for points outside the grid.
        coors_voxels (Tensor): The same for each voxel, (M, 4), without
            duplicates.

    Returns:
        Tensor: Integer counts, (M, ).
    """
    inside = (coors_points >= 0).all(dim=1)
    keys_points, keys_voxels = _keys(coors_points.clamp(min=0), coors_voxels)
    counts = torch.zeros_like(keys_voxels)
    if len(counts):
        keys, order = keys_voxels.sort()
        at = torch.searchsorted(keys, keys_points).clamp(max=len(keys) - 1)
        there = inside & (keys[at] == keys_points)
        counts.index_add_(0, order[at], there.to(counts))
    return counts


def _keys(*coors: Tensor) -> Tuple[Tensor, ...]:
    """A key for each row of several (M, 4), equal for equal rows."""
    every = torch.cat(coors).long()
    sizes = every.amax(dim=0) + 1 if len(every) else every.new_ones(4)
    keys = every[:, 0]
    for column in range(1, every.size(1)):
        keys = keys * sizes[column] + every[:, column]
    return keys.split([len(part) for part in coors])


class PointGraph(NamedTuple):
    """The graphs of one group of nodes.

    Attributes:
        centres (Tensor): Rows in the teacher's tensor, (N, ).
        neighbours (Tensor): Rows in the teacher's tensor, (N, K).
        weights (Tensor): Weights of the centres, (N, ); 1 each if they come
            from the encoded edges.
    """
    centres: Tensor
    neighbours: Tensor
    weights: Tensor


def build_graphs(feat_t: Tensor, importance: Tensor, sizes: Sequence[int],
                 options: PointDistillerOptions) -> List[PointGraph]:
    """Build the graph of each group with nodes.

    Args:
        feat_t (Tensor): Teacher's features of the nodes, (M, C).
        importance (Tensor): Importance of the nodes, (M, ).
        sizes (Sequence[int]): Number of nodes of each group, in order.
        options (PointDistillerOptions): The resolved options.

    Returns:
        list[PointGraph]: Graphs with indices into the rows of ``feat_t``.
    """
    graphs = []
    begin = 0
    for size in sizes:
        group = slice(begin, begin + size)
        if size:
            values = importance[group].float()
            centres = choose_centres(values, options.num_centres,
                                     options.sample)
            neighbours = nearest_nodes(feat_t[group], centres,
                                       options.num_neighbours,
                                       options.knn_budget_mib)
            chosen = values[centres]
            weights = centre_weights(chosen, options.tau) \
                if options.reweight == 'softmax' else torch.ones_like(chosen)
            graphs.append(
                PointGraph(centres + begin, neighbours + begin, weights))
        begin += size
    return graphs
