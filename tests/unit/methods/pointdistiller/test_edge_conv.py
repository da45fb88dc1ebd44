import pytest
import torch

from mmkd.methods.pointdistiller.edge_conv import EdgeConv


@pytest.mark.parametrize('edge', ['concat', 'diff'])
def test_edges_are_never_formed(edge):
    """The two halves of the layer give what the whole edge would."""
    torch.manual_seed(0)
    layer = EdgeConv(3, 5, edge)
    nodes = torch.randn(20, 3, requires_grad=True)
    graphs = [(torch.arange(4), torch.randint(10, (4, 6))),
              (torch.arange(10, 13), torch.randint(10, 20, (3, 2)))]
    found = layer(nodes, graphs)
    assert [part.shape for part in found] == [(4, 6, 5), (3, 2, 5)]
    edges = []
    for centres, neighbours in graphs:
        near, own = nodes[neighbours], nodes[centres][:, None]
        own = own.expand_as(near)
        edges.append(
            torch.cat([near if edge == 'concat' else own - near, own],
                      2).flatten(0, 1))
    expected = layer.norm(layer.linear(torch.cat(edges))).relu()
    torch.testing.assert_close(
        torch.cat([part.flatten(0, 1) for part in found]), expected)
    gradient, = torch.autograd.grad(sum(p.sum() for p in found), nodes)
    other, = torch.autograd.grad(expected.sum(), nodes)
    torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-5)
