import pytest
import torch

from mmkd.ops.precision import full_precision


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_full_precision_upcasts_and_returns_gradient(dtype):
    seen = []

    @full_precision
    def loss(feat, others, named, scale=1.0, mask=None):
        seen.extend(
            [feat.dtype, others[0].dtype, named['x'].dtype, mask.dtype])
        return scale * (feat @ feat.t()).sum()

    feat = torch.ones(2, 2, dtype=dtype, requires_grad=True)
    mask = torch.ones(2, dtype=torch.bool)
    with torch.autocast('cpu', torch.bfloat16):
        value = loss(feat, [feat], dict(x=feat), scale=300.0, mask=mask)
    assert seen == [torch.float32] * 3 + [torch.bool]
    assert value.dtype == torch.float32 and value.item() == 2400
    value.backward()
    assert feat.grad.dtype == dtype


def test_full_precision_keeps_double():

    @full_precision
    def loss(feat):
        """Square."""
        return feat.square().sum()

    assert loss(torch.ones(2, dtype=torch.float64)).dtype == torch.float64
    assert loss.__doc__ == 'Square.'
