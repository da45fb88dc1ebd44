import pytest
import torch

from mmkd.ops.masks import dice_similarity, labelled_cells, zero_like_graph


@pytest.mark.parametrize('value', [1.0, float('inf'), float('nan')])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_zero_like_graph(value, dtype):
    a = torch.full((2, 3, 4), value, dtype=dtype, requires_grad=True)
    b = torch.full((), value, requires_grad=True)
    zero = zero_like_graph(a.transpose(0, 2), b)
    assert zero.item() == 0 and zero.dtype == torch.float32
    zero.backward()
    assert torch.equal(a.grad, torch.zeros_like(a.grad))
    assert b.grad.item() == 0


def test_zero_like_graph_of_empty_tensor():
    empty = torch.zeros((0, 4), requires_grad=True)
    zero = zero_like_graph(empty)
    zero.backward()
    assert zero.item() == 0 and empty.grad.shape == (0, 4)


def test_labelled_cells():
    labels = torch.zeros((1, 4, 8), dtype=torch.uint8)
    labels[0, :2, 2:6] = 9  # half of two cells
    labels[0, 2:, 2:6] = 255
    labels[0, :, 6:] = 255
    valid = labelled_cells(labels, (1, 4))
    assert valid.tolist() == [[[[True, True, True, False]]]]
    assert labelled_cells(
        labels.unsqueeze(1), (1, 4),
        threshold=0.6).tolist() == [[[[True, False, False, False]]]]
    assert labelled_cells(
        labels, (1, 4),
        ignore_index=9).tolist() == [[[[True, True, True, True]]]]
    with pytest.raises(ValueError, match='integers'):
        labelled_cells(labels.float(), (1, 4))


def test_dice_similarity():
    # Pairs: 2 * 1 / (1 + 2), 0 and 2 * 1 / (2 + 1).
    masks = torch.tensor([[[1., 0., 0.], [1., 1., 0.], [0., 1., 0.]]])
    assert dice_similarity(masks).item() == pytest.approx(4 / 9)
    masks = torch.rand(2, 4, 4, 5)
    assert 0 < dice_similarity(masks) < 1
    same = masks[:, :1].expand(2, 4, 4, 5)
    assert dice_similarity(same).item() == pytest.approx(1)
    # Also of small masks, unless the minimum is above their squares.
    assert dice_similarity(1e-4 * same).item() == pytest.approx(1)
    assert dice_similarity(1e-4 * same, 1e-3) < 1e-3
    nothing = torch.zeros(1, 2, 3, requires_grad=True)
    dice_similarity(nothing).backward()
    assert dice_similarity(nothing) == 0 and not nothing.grad.any()
