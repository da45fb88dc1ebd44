"""The terms of FGD against loops in plain Python, and their invariants."""
import math

import pytest
import torch

from mmkd.methods.fgd.losses import (attention_loss, attention_maps, box_masks,
                                     focal_distances)

FRAME, SIZE = (32, 32), (4, 4)  # cells of 8 pixels


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def masks_by_loops(all_boxes, frames, size):
    """Cell by cell, as the definition reads."""
    height, width = size
    foreground = torch.zeros(len(all_boxes), height, width)
    background = torch.zeros_like(foreground)
    for n, (own, (frame_h, frame_w)) in enumerate(zip(all_boxes, frames)):
        for x1, y1, x2, y2 in own.tolist():
            left = math.floor(x1 * width / frame_w)
            right = math.ceil(x2 * width / frame_w)
            top = math.floor(y1 * height / frame_h)
            bottom = math.ceil(y2 * height / frame_h)
            weight = 1 / ((right + 1 - left) * (bottom + 1 - top))
            for y in range(height):
                for x in range(width):
                    if top <= y <= bottom and left <= x <= right:
                        foreground[n, y, x] = max(foreground[n, y, x].item(),
                                                  weight)
        free = foreground[n] == 0
        if free.any():
            background[n][free] = 1 / free.sum().item()
    return foreground, background


def test_attention_by_hand():
    # Mean activities 1 and 2 in the cells, and 1.5 in both channels.
    feat = torch.tensor([[[[-1., 2.]], [[1., -2.]]]])
    cells, channels = attention_maps(feat, tau=1.0)
    share = 1 / (1 + math.e)
    assert torch.allclose(cells, torch.tensor([[[2 * share, 2 - 2 * share]]]))
    assert torch.allclose(channels, torch.ones(1, 2))
    cells, _ = attention_maps(feat, tau=0.5)
    assert cells[0, 0, 0].item() == pytest.approx(2 / (1 + math.e**2))


def test_attention_sums():
    feat = 3 * torch.randn(2, 5, 6, 7)
    cells, channels = attention_maps(feat)
    assert cells.shape == (2, 6, 7) and channels.shape == (2, 5)
    assert torch.allclose(cells.sum(dim=(1, 2)), torch.tensor([42., 42.]))
    assert torch.allclose(channels.sum(dim=1), torch.tensor([5., 5.]))


def test_attention_of_half_precision():
    # All attention on one of 67,200 cells: more than float16 can hold.
    feat = torch.zeros(1, 2, 200, 336, dtype=torch.float16)
    feat[0, :, 7, 9] = 1000
    with torch.autocast('cpu', torch.bfloat16):
        cells, _ = attention_maps(feat)
    assert cells.dtype == torch.float32
    assert cells[0, 7, 9] == 67200 > torch.finfo(torch.float16).max


def test_masks_by_hand():
    # Cells 1 and 2 in both directions, since the range ends inclusive.
    foreground, background = box_masks([boxes([8, 8, 16, 16])], [FRAME], SIZE)
    expected = torch.zeros(4, 4)
    expected[1:3, 1:3] = 1 / 4
    assert torch.equal(foreground[0], expected)
    assert torch.allclose(background[0], (expected == 0) / 12)
    assert foreground.sum() == 1
    assert background.sum().item() == pytest.approx(1)


def test_masks_at_the_border():
    # 2 x 5 cells are counted, of which the last row is beyond the map.
    foreground, _ = box_masks([boxes([9, 0, 15, 31])], [FRAME], SIZE)
    assert foreground.sum().item() == pytest.approx(0.8)
    # A box over the whole map leaves no background.
    foreground, background = box_masks([boxes([0, 0, 32, 32])], [FRAME], SIZE)
    assert torch.allclose(foreground, torch.full((1, 4, 4), 1 / 25))
    assert torch.equal(background, torch.zeros(1, 4, 4))


def test_smaller_box_wins():
    small, large = [8, 8, 15, 15], [0, 0, 23, 23]
    alone, _ = box_masks([boxes(small)], [FRAME], SIZE)
    for both in (boxes(small, large), boxes(large, small)):
        nested, _ = box_masks([both], [FRAME], SIZE)
        inside = alone > 0
        assert torch.equal(nested[inside], alone[inside])
        assert nested[0, 0, 0].item() == pytest.approx(1 / 16)


def test_no_boxes():
    foreground, background = box_masks([boxes(), boxes([0, 0, 8, 8])],
                                       [FRAME, FRAME], SIZE)
    assert torch.equal(foreground[0], torch.zeros(4, 4))
    assert torch.equal(background[0], torch.full((4, 4), 1 / 16))
    assert background[1].sum().item() == pytest.approx(1)


def test_empty_box_has_a_cell():
    foreground, _ = box_masks([boxes([12, 12, 12, 12])], [FRAME], SIZE)
    # From the floor of 1.5 to its ceiling.
    assert torch.equal(foreground[0, 1:3, 1:3], torch.full((2, 2), 0.25))
    inverted, background = box_masks([boxes([16, 16, 8, 8])], [FRAME], SIZE)
    assert inverted.sum() == 0 and background.isfinite().all()


@pytest.mark.parametrize('chunk', [1 << 22, 300])
def test_masks_against_loops(chunk, monkeypatch):
    monkeypatch.setattr('mmkd.methods.fgd.losses._CHUNK', chunk)
    generator = torch.Generator().manual_seed(0)
    frames = [(97, 131), (128, 160), (64, 160)]
    many = []
    for n, (height, width) in zip((7, 0, 12), frames):
        corner = torch.rand((n, 2), generator=generator)
        end = corner + (1 - corner) * torch.rand((n, 2), generator=generator)
        scale = torch.tensor([width, height, width, height]).float()
        many.append(torch.cat([corner, end], dim=1) * scale)
    found = box_masks(many, frames, (13, 17))
    for mask, expected in zip(found, masks_by_loops(many, frames, (13, 17))):
        assert torch.allclose(mask, expected, rtol=1e-6, atol=0)


def test_focal_by_hand():
    # Differences 1 and 2 in channels with attention 0.5 and 1.5.
    feat_t = torch.tensor([[[[1., 1.]], [[2., 2.]]]])
    feat_s = torch.zeros(1, 2, 1, 2)
    masks = [torch.tensor([[[0.5, 0.]]]), torch.tensor([[[0., 1.]]])]
    fg, bg = focal_distances(feat_s, feat_t, torch.tensor([[[0.4, 1.6]]]),
                             torch.tensor([[0.5, 1.5]]), masks)
    assert fg.item() == pytest.approx(0.5 * 0.4 * (0.5 * 1 + 1.5 * 4))
    assert bg.item() == pytest.approx(1 * 1.6 * 6.5)


def test_focal_against_loops():
    feat_s, feat_t = torch.randn(2, 2, 3, 4, 5)
    masks = list(torch.rand(2, 2, 4, 5))
    cells, channels = attention_maps(feat_t)
    found = focal_distances(feat_s, feat_t, cells, channels, masks)
    for loss, mask in zip(found, masks):
        total = 0.0
        for n in range(2):
            for k in range(3):
                for y in range(4):
                    for x in range(5):
                        gap = (feat_t[n, k, y, x] - feat_s[n, k, y, x]).item()
                        total += (mask[n, y, x] * cells[n, y, x] *
                                  channels[n, k]).item() * gap**2
        assert loss.item() == pytest.approx(total / 2, rel=1e-5)


def test_attention_loss_by_hand():
    attention_s = torch.tensor([[[1., 1.]]]), torch.tensor([[2., 0.]])
    attention_t = torch.tensor([[[0.5, 1.5]]]), torch.tensor([[1.5, 0.5]])
    assert attention_loss(attention_s, attention_t) == 2
    assert attention_loss(attention_t, attention_t) == 0


def test_gradients():
    feat_s, feat_t = (
        torch.randn(2, 3, 2, 2, dtype=torch.float64) for _ in range(2))
    feat_s.requires_grad_()
    masks = torch.rand(2, 2, 2, 2, dtype=torch.float64)
    attention_t = attention_maps(feat_t)

    def focal(feat):
        return focal_distances(feat, feat_t, *attention_t, list(masks))

    def attention(feat):
        return attention_loss(attention_maps(feat), attention_t)

    assert torch.autograd.gradcheck(focal, feat_s)
    assert torch.autograd.gradcheck(attention, feat_s)
    feat_t.requires_grad_()
    total = sum(
        focal_distances(feat_s, feat_t, *attention_maps(feat_t),
                        list(masks))) + attention(feat_s)
    total.backward()
    assert feat_t.grad is None and feat_s.grad.abs().sum() > 0


def test_memory_formats():
    feat_s, feat_t = torch.randn(2, 2, 8, 4, 4)
    masks = list(torch.rand(2, 2, 4, 4))

    def total(feat_s, feat_t):
        attention_t = attention_maps(feat_t)
        return sum(focal_distances(feat_s, feat_t, *attention_t, masks)) + \
            attention_loss(attention_maps(feat_s), attention_t)

    last = [f.to(memory_format=torch.channels_last) for f in (feat_s, feat_t)]
    assert torch.allclose(total(feat_s, feat_t), total(*last))


@pytest.mark.parametrize('call, message', [
    (lambda: attention_maps(torch.zeros(2, 3, 4)), 'N, C, H, W'),
    (lambda: attention_maps(torch.zeros(1, 3, 4, 4), 0), 'tau'),
    (lambda: box_masks([boxes()], [FRAME, FRAME], SIZE), 'same images'),
    (lambda: box_masks([torch.zeros(2, 5)], [FRAME], SIZE), r'\(n, 4\)'),
    (lambda: focal_distances(
        torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5), None, None, []),
     'one shape'),
])
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
