"""A layer on the edges of graphs."""
from typing import List, Sequence, Tuple

import torch
from mmengine.model import kaiming_init
from torch import Tensor, nn


class EdgeConv(nn.Module):
    """Encode each edge of a graph from the features of its two ends.

    ``ReLU(BN(W [neighbour ; centre]))``: one linear layer without bias, batch
    normalisation over all edges and a ReLU, as in the released code of
    PointDistiller (arXiv 2205.11098). Edges are never materialised:
    ``W [x_j ; x_i] = W_a x_j + W_b x_i``, and each half is computed once per
    node.

    Args:
        in_channels (int): Channels of a node.
        out_channels (int): Channels of an encoded edge.
        edge (str): ``'concat'`` for ``[x_j ; x_i]`` with the neighbour j
            first, ``'diff'`` for ``[x_i - x_j ; x_i]``; both can represent
            the same functions. Defaults to ``'concat'``.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 edge: str = 'concat') -> None:
        super().__init__()
        self.edge = edge
        self.linear = nn.Linear(2 * in_channels, out_channels, bias=False)
        self.norm = nn.BatchNorm1d(out_channels)
        # As in mmcv's ConvModule for a 1x1 convolution.
        kaiming_init(self.linear)

    def forward(self, nodes: Tensor,
                graphs: Sequence[Tuple[Tensor, Tensor]]) -> List[Tensor]:
        """Encode the edges of some graphs, normalised together.

        Args:
            nodes (Tensor): Features of all nodes, (M, C).
            graphs (Sequence[tuple[Tensor, Tensor]]): For each sample, indices
                of the centres (N, ) and of their neighbours (N, K); N and K
                may differ.

        Returns:
            list[Tensor]: Encoded edges of each sample, (N, K, C').
        """
        first, second = self.linear.weight.chunk(2, dim=1)
        if self.edge == 'diff':
            first, second = -first, first + second
        from_neighbour = nodes @ first.t()
        from_centre = nodes @ second.t()
        edges = [
            from_neighbour.index_select(0, neighbours.flatten()).view(
                *neighbours.shape, -1).add_(from_centre[centres].unsqueeze(1))
            for centres, neighbours in graphs
        ]
        sizes = [part.shape[:2] for part in edges]
        edges = [part.flatten(0, 1) for part in edges]
        edges = edges[0] if len(edges) == 1 else torch.cat(edges)
        encoded = self.norm(edges).relu_()
        return [
            part.view(*size, -1) for size, part in zip(
                sizes, encoded.split([n * k for n, k in sizes]))
        ]
