import torch

from mmkd.methods.nd.review import ReviewFusion


def test_levels():
    torch.manual_seed(0)
    fusion = ReviewFusion([4, 4, 4], [6, 6, 6])
    feats = [
        torch.randn(2, 4, *size).requires_grad_()
        for size in ((9, 12), (5, 6), (3, 3))
    ]
    found = fusion(feats)
    assert [x.shape[1:] for x in found] == [(6, 9, 12), (6, 5, 6), (6, 3, 3)]
    # A level reads itself and those that are coarser.
    grads = torch.autograd.grad(
        found[1].square().sum(), feats, allow_unused=True)
    assert grads[0] is None
    assert all(x.abs().sum() > 0 for x in grads[1:])
    sum(x.square().sum() for x in fusion(feats)).backward()
    assert all(p.grad is not None for p in fusion.parameters())
    # The gates mix both; the coarsest level has none.
    gates = [block.gates is not None for block in fusion.blocks]
    assert gates == [True, True, False]
