"""Visuals of the graphs of PointDistiller."""
from typing import List, Sequence, Tuple

import torch
from torch import Tensor

from mmkd.core.visuals import Points, Visual
from mmkd.methods.pointdistiller.graphs import PointGraph

#: Number of centres whose neighbours are shown.
_SHOWN = 6


def draw_graphs(importance: Tensor, graphs: List[PointGraph],
                weights: Sequence[Tensor], distances: Sequence[Tensor],
                places: Tensor, scans: Tensor, cloud: List[Tensor],
                group: str) -> List[Visual]:
    """Draw the nodes, the centres and a few graphs of a level.

    Args:
        importance (Tensor): Importance of the nodes, (M, ).
        graphs (list[PointGraph]): Graphs of the nodes; at least one.
        weights (Sequence[Tensor]): Weights of the centres of each graph.
        distances (Sequence[Tensor]): Squared distances of their encodings.
        places (Tensor): Positions of the nodes in bird's-eye view, (M, 2).
        scans (Tensor): Index of the scan of each node, (M, ).
        cloud (list[Tensor]): Background of each scan, (P, 2).
        group (str): Name of the level.
    """
    low, high = places.amin(dim=0), places.amax(dim=0)
    extent = (*(low - 0.5).tolist(), *(high + 0.5).tolist())

    def points(name: str, rows: Tensor, values: Tensor, **kwargs) -> Points:
        parts = [scans[rows] == scan for scan in range(len(cloud))]
        return Points(
            name, [values[part] for part in parts],
            group,
            positions=[places[rows[part]] for part in parts],
            extent=extent,
            **kwargs)

    every = torch.arange(len(places), device=places.device)
    centres = torch.cat([graph.centres for graph in graphs])
    weight, distance = torch.cat(list(weights)), torch.cat(list(distances))
    return [
        points('importance', every, importance.float()),
        points('weight of the centres', centres, weight, cloud=cloud),
        points(
            'distance of the graphs',
            centres,
            distance,
            cloud=cloud,
            changes=True),
        _joined(graphs, weight, places, scans, cloud, extent, group)
    ]


def _joined(graphs: List[PointGraph], weights: Tensor, places: Tensor,
            scans: Tensor, cloud: List[Tensor],
            extent: Tuple[float, float, float, float], group: str) -> Points:
    """The centres with the largest weights in each group, each in its own
    colour, with lines to their neighbours in the same scan."""
    none = scans[:0]
    rows, colors, edges = ([[none] for _ in cloud], [[none] for _ in cloud],
                           [[none.view(0, 2)] for _ in cloud])
    heavy = weights.split([len(graph.centres) for graph in graphs])
    for graph, weight in zip(graphs, heavy):
        order = weight.argsort(descending=True, stable=True)[:_SHOWN]
        for number, a in enumerate(order.tolist()):
            centre, near = graph.centres[a:a + 1], graph.neighbours[a]
            scan = int(scans[centre])
            near = near[(scans[near] == scan) & (near != centre)]
            begin = sum(map(len, rows[scan]))
            ends = begin + 1 + torch.arange(len(near), device=near.device)
            rows[scan] += [centre, near]
            colors[scan].append(torch.full_like(scans[:1 + len(near)], number))
            edges[scan].append(
                torch.stack([torch.full_like(ends, begin), ends], dim=1))
    return Points(
        f'neighbours of {_SHOWN} centres',
        [torch.cat(part).float() for part in colors],
        group,
        limits=(0, _SHOWN - 1),
        positions=[places[torch.cat(part)] for part in rows],
        cloud=cloud,
        edges=[torch.cat(part) for part in edges],
        extent=extent)
