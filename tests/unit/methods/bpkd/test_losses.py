import pytest
import torch

from mmkd.methods.bpkd import losses as boundary
from mmkd.methods.bpkd.losses import body_loss, edge_loss, edge_masks
from mmkd.ops.channel_wise import channel_wise_divergence
from mmkd.ops.divergences import kl_divergence

GOLDEN_LABELS = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 255, 255]]
GOLDEN_T = [[[2., 1.], [3., 0.]], [[0., 2.], [-1., 1.]], [[1., 0.], [0., -1.]]]
GOLDEN_S = [[[1., 1.], [2., 0.]], [[0., 1.], [0., 1.]], [[0., 0.], [1., 0.]]]


def golden():
    """Labels, student's and teacher's logits of the golden vector."""
    return (torch.tensor([GOLDEN_LABELS]),
            torch.tensor([GOLDEN_S],
                         requires_grad=True), torch.tensor([GOLDEN_T]))


def losses(logits_s, logits_t, labels, edge_width=3, tau=1.0, **kwargs):
    """Both losses as the distiller combines them."""
    masks, valid = edge_masks(labels, logits_s.size(1), logits_s.shape[2:],
                              edge_width, **kwargs)
    return torch.stack([
        edge_loss(logits_s, logits_t, masks, valid, tau),
        body_loss(logits_s, logits_t, masks, valid, tau)
    ])


class TestEdgeMasks:

    @pytest.mark.parametrize('size', [(8, 10), (9, 7), (64, 80), (1, 1)])
    @pytest.mark.parametrize('edge_width', [3, 7])
    @pytest.mark.parametrize('ignore_as_edge', [False, True])
    def test_against_direct_form(self, reference, draw_labels, size,
                                 edge_width, ignore_as_edge):
        labels = draw_labels(2, 64, 80, 6, seed=edge_width)
        labels[1][labels[1] == 3] = 0
        masks, valid = edge_masks(
            labels, 7, size, edge_width, ignore_as_edge=ignore_as_edge)
        expected, expected_valid = reference.edge_masks(
            labels, 7, size, edge_width, ignore_as_edge=ignore_as_edge)
        assert masks.dtype == torch.float32 and valid.dtype == torch.bool
        assert valid.shape == (2, 1, *size)
        assert torch.equal(valid, expected_valid)
        assert torch.allclose(masks, expected, rtol=0, atol=1e-6)
        assert (masks > 0).any() and (masks[:, 6] == 0).all()

    def test_junction_of_many_classes(self, reference):
        generator = torch.Generator().manual_seed(0)
        labels = torch.randint(40, (2, 24, 24), generator=generator)
        labels[labels == 39] = 255
        masks, valid = edge_masks(labels, 39, (6, 6), 9)
        expected, _ = reference.edge_masks(labels, 39, (6, 6), 9)
        assert torch.allclose(masks, expected, rtol=0, atol=1e-6)
        assert ((masks > 0).sum(1) > 5).any()

    def test_chunks_do_not_matter(self, draw_labels, monkeypatch):
        labels = draw_labels(2, 64, 80, 6)
        whole = edge_masks(labels, 6, (8, 10))[0]
        monkeypatch.setattr(boundary, '_CHUNK', 1)
        assert torch.equal(edge_masks(labels, 6, (8, 10))[0], whole)

    @pytest.mark.parametrize('edge_width', [3, 5, 7, 9])
    def test_band_width(self, edge_width):
        # Invariant 9: edge_width - 1 pixels, half of them on each side.
        labels = torch.zeros((1, 8, 32), dtype=torch.long)
        labels[:, :, 16:] = 1
        masks, _ = edge_masks(labels, 3, (8, 32), edge_width)
        half = (edge_width - 1) // 2
        row = torch.zeros(32)
        row[16 - half:16 + half] = 1
        assert torch.equal(masks[0, 0], row.expand(8, 32))
        assert torch.equal(masks[0, 1], row.expand(8, 32))
        assert (masks[0, 2] == 0).all()

    def test_border_at_stride_8(self):
        labels = torch.zeros((1, 8, 32), dtype=torch.long)
        labels[:, :, 16:] = 1
        masks, _ = edge_masks(labels, 2, (1, 4), 7)
        row = torch.tensor([0, 0.375, 0.375, 0])
        assert torch.equal(masks[0, :, 0], row.expand(2, 4))

    def test_range_and_invalid_cells(self, draw_labels):
        # Invariant 3.
        labels = draw_labels(2, 64, 80, 6, ignored=0.4)
        masks, valid = edge_masks(labels, 6, (8, 10))
        assert (masks >= 0).all() and (masks <= 1).all()
        assert (masks * ~valid == 0).all()
        assert 0 < valid.float().mean() < 1
        whole = (masks + (1 - masks)) * valid
        assert torch.equal(whole, valid.expand_as(masks).float())

    def test_void_border_is_no_edge(self):
        labels = torch.zeros((1, 16, 16), dtype=torch.long)
        labels[:, :, 8:] = 255
        masks, valid = edge_masks(labels, 2, (16, 16))
        assert (masks == 0).all()
        assert torch.equal(valid[0, 0], labels[0] == 0)
        masks, _ = edge_masks(labels, 2, (16, 16), ignore_as_edge=True)
        assert torch.equal(masks[0, 0, 0, :8],
                           torch.tensor([0.] * 5 + [1.] * 3))
        assert (masks[0, 0, :, 8:] == 0).all() and (masks[0, 1] == 0).all()

    @pytest.mark.parametrize('threshold, valid', [(0.5, True), (0.6, False)])
    def test_threshold(self, threshold, valid):
        labels = torch.zeros((1, 4, 4), dtype=torch.long)
        labels[:, 2:] = 255
        assert edge_masks(
            labels, 2, (1, 1), valid_threshold=threshold)[1].item() is valid

    def test_value_of_ignored_labels_does_not_matter(self, draw_labels):
        labels = draw_labels(2, 64, 80, 6)
        other = labels.masked_fill(labels == 255, -1)
        for a, b in zip(
                edge_masks(labels, 6, (8, 10)),
                edge_masks(other, 6, (8, 10), ignore_index=-1)):
            assert torch.equal(a, b)

    def test_all_ignored(self):
        labels = torch.full((2, 16, 16), 255)
        masks, valid = edge_masks(labels, 3, (2, 2))
        assert (masks == 0).all() and not valid.any()

    @pytest.mark.parametrize('dtype', [torch.uint8, torch.int32, torch.int64])
    def test_forms_of_labels(self, draw_labels, dtype):
        labels = draw_labels(2, 64, 80, 6)
        expected, _ = edge_masks(labels, 6, (8, 10))
        given = labels.unsqueeze(1).to(dtype)
        assert torch.equal(edge_masks(given, 6, (8, 10))[0], expected)
        turned = labels.transpose(1, 2).contiguous().transpose(1, 2)
        assert torch.equal(edge_masks(turned, 6, (8, 10))[0], expected)

    @pytest.mark.parametrize('value', [6, 254, -1])
    def test_label_out_of_range(self, value):
        labels = torch.zeros((1, 8, 8), dtype=torch.long)
        labels[0, 3, 3] = value
        with pytest.raises(ValueError, match=rf'label \[{value}\].*6 classes'):
            edge_masks(labels, 6, (1, 1))

    def test_wrong_arguments(self):
        labels = torch.zeros((1, 8, 8), dtype=torch.long)
        for width in (1, 4, -3):
            with pytest.raises(ValueError, match='edge_width'):
                edge_masks(labels, 2, (1, 1), width)
        with pytest.raises(ValueError, match='integers'):
            edge_masks(labels.float(), 2, (1, 1))
        with pytest.raises(ValueError, match='shape'):
            edge_masks(labels[0], 2, (1, 1))


class TestLosses:

    @pytest.mark.parametrize('tau, edge, body', [(1.0, 0.0626603, 0.1540083),
                                                 (4.0, 0.0715857, 0.1510255)])
    def test_golden_vector(self, tau, edge, body):
        # Invariant 12.
        labels, logits_s, logits_t = golden()
        masks, valid = edge_masks(labels, 3, (2, 2), 3)
        share = torch.tensor([[.5, .5], [.5, .25]])
        assert torch.equal(masks[0], torch.stack([share, share, 0 * share]))
        assert valid.all()
        # In float64: float32 is off by 2e-6 at tau 4.
        value = losses(logits_s.double(), logits_t.double(), labels, tau=tau)
        assert value.tolist() == pytest.approx([edge, body], abs=1e-7)

    @pytest.mark.parametrize('tau', [1.0, 4.0])
    def test_formula(self, reference, pair, draw_labels, tau):
        logits_s, logits_t = pair(2, 6, 4, 5)
        labels = draw_labels(2, 32, 40, 6, ignored=0.3)
        masks, valid = edge_masks(labels, 6, (4, 5))
        assert not valid.all() and (masks > 0).any()
        alpha = [0.5 * c for c in range(6)]
        value = edge_loss(logits_s, logits_t, masks, valid, tau, alpha)
        assert value.shape == () and value.dtype == torch.float32
        assert value.item() == pytest.approx(
            reference.edge_loss(logits_s, logits_t, masks, tau, alpha),
            rel=1e-5)
        value = body_loss(logits_s, logits_t, masks, valid, tau)
        assert value.item() == pytest.approx(
            reference.channel_wise_divergence(logits_s * (1 - masks),
                                              logits_t * (1 - masks), tau,
                                              valid),
            rel=1e-5)

    def test_equal_logits_give_zero(self, pair, draw_labels):
        # Invariant 1.
        logits_s, logits_t = pair(2, 6, 8, 10)
        labels = draw_labels(2, 64, 80, 6)
        value = losses(logits_s, logits_s.detach().clone(), labels)
        value.sum().backward()
        assert value.tolist() == [0, 0]
        assert logits_s.grad.abs().max() < 1e-7
        assert (losses(logits_s, logits_t, labels) > 0).all()

    def test_gradient_reaches_the_student_alone(self, pair, draw_labels):
        # Invariants 2 and 4.
        labels = draw_labels(2, 64, 80, 6)
        labels[0, :24, :40] = torch.arange(40) % 2  # a cell of edges only
        masks, valid = edge_masks(labels, 6, (8, 10))
        assert not masks.requires_grad and (masks == 1).any()
        for loss, quiet in ((edge_loss, 0), (body_loss, 1)):
            logits_s, logits_t = pair(2, 6, 8, 10)
            loss(logits_s, logits_t, masks, valid).backward()
            assert logits_t.grad is None
            silent = logits_s.grad[(masks == quiet) | ~valid]
            assert torch.equal(silent, torch.zeros_like(silent))
            assert logits_s.grad.abs().sum() > 0

    def test_gradient_is_right(self, draw_labels):
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn((2, 2, 3, 2, 3), generator=generator).double()
        masks = torch.rand((2, 3, 2, 3), generator=generator).double()
        valid = torch.tensor([1, 1, 0, 1, 1, 0]).bool().view(1, 1, 2, 3)
        valid = torch.cat([valid, ~valid])
        masks = masks * valid
        logits_s = logits[0].requires_grad_()
        for loss in (edge_loss, body_loss):
            assert torch.autograd.gradcheck(
                lambda z: loss(z, logits[1], masks, valid, 2.0), logits_s)

    def test_no_edge(self, pair):
        # Invariant 6.
        logits_s, logits_t = pair(2, 6, 8, 10)
        labels = torch.zeros((2, 64, 80), dtype=torch.long)
        labels[1] = 3
        masks, valid = edge_masks(labels, 6, (8, 10))
        edge = edge_loss(logits_s, logits_t, masks, valid)
        edge.backward()
        assert edge.item() == 0
        assert torch.equal(logits_s.grad, torch.zeros_like(logits_s))
        body = body_loss(logits_s, logits_t, masks, valid, 4.0)
        assert torch.equal(body,
                           channel_wise_divergence(logits_s, logits_t, 4.0))

    def test_invalid_cells_do_not_matter(self, pair, draw_labels):
        # Invariant 7.
        logits_s, logits_t = pair(2, 6, 8, 10)
        labels = draw_labels(2, 64, 80, 6, ignored=0.4)
        valid = edge_masks(labels, 6, (8, 10))[1]
        assert not valid.all()
        value = losses(logits_s, logits_t, labels)
        for spoilt in (99., float('inf'), float('nan')):
            spoilt_s = logits_s.detach().masked_fill(~valid, spoilt)
            spoilt_s.requires_grad_()
            again = losses(spoilt_s, logits_t.masked_fill(~valid, -spoilt),
                           labels)
            again.sum().backward()
            assert torch.equal(value, again)
            silent = spoilt_s.grad[~valid.expand_as(spoilt_s)]
            assert torch.equal(silent, torch.zeros_like(silent))

    def test_order_of_classes_and_flip_do_not_matter(self, pair, draw_labels):
        # Invariant 8.
        logits_s, logits_t = pair(2, 6, 8, 10)
        labels = draw_labels(2, 64, 80, 6)
        value = losses(logits_s, logits_t, labels)
        order = torch.tensor([3, 0, 5, 1, 4, 2])
        place = torch.cat([order.argsort(), torch.full((250, ), 255)])
        permuted = losses(logits_s[:, order], logits_t[:, order],
                          place[labels])
        assert torch.allclose(value, permuted, rtol=1e-5)
        flipped = losses(logits_s.flip(3), logits_t.flip(3), labels.flip(2))
        assert torch.allclose(value, flipped, rtol=1e-5)

    def test_batch_is_mean_of_singles(self, pair, draw_labels):
        # Invariant 10.
        logits_s, logits_t = pair(2, 6, 8, 10)
        labels = draw_labels(2, 64, 80, 6)
        labels[1, :, :60] = 255
        value = losses(logits_s, logits_t, labels)
        singles = [
            losses(logits_s[i:i + 1], logits_t[i:i + 1], labels[i:i + 1])
            for i in range(2)
        ]
        assert torch.allclose(value, sum(singles) / 2)

    def test_constant_matters(self, pair, draw_labels):
        # Invariant 11: removed logits stay at 0.
        logits_s, logits_t = pair(2, 6, 8, 10)
        labels = draw_labels(2, 64, 80, 6)
        value = losses(logits_s, logits_t, labels)
        shifted = losses(logits_s + 1, logits_t, labels)
        assert ((value - shifted).abs() > 1e-3).all()

    def test_all_ignored(self, pair):
        logits_s, logits_t = pair(2, 6, 8, 10)
        labels = torch.full((2, 64, 80), 255)
        with torch.autograd.set_detect_anomaly(True):
            value = losses(logits_s, logits_t, labels)
            value.sum().backward()
        assert value.tolist() == [0, 0]
        assert torch.equal(logits_s.grad, torch.zeros_like(logits_s))

    def test_one_of_two_ignored(self, pair, draw_labels):
        logits_s, logits_t = pair(2, 6, 8, 10)
        labels = draw_labels(2, 64, 80, 6)
        labels[1] = 255
        value = losses(logits_s, logits_t, labels)
        value.sum().backward()
        single = losses(logits_s[:1], logits_t[:1], labels[:1])
        assert torch.allclose(value, single / 2)
        assert logits_s.grad.isfinite().all()
        assert torch.equal(logits_s.grad[1], torch.zeros(6, 8, 10))

    def test_switches(self, pair, draw_labels):
        logits_s, logits_t = pair(2, 6, 8, 10)
        labels = draw_labels(2, 64, 80, 6, ignored=0.3)
        masks, valid = edge_masks(labels, 6, (8, 10))

        def loss(prm, pom):
            return edge_loss(
                logits_s, logits_t, masks, valid, use_prm=prm, use_pom=pom)

        plain = kl_divergence(logits_s, logits_t, 1.0, valid)
        masked = kl_divergence(logits_s * masks, logits_t * masks, 1.0, valid)
        assert torch.allclose(loss(False, False), plain)
        assert torch.allclose(loss(True, False), masked)
        values = [loss(p, q).item() for p in (0, 1) for q in (0, 1)]
        assert len(set(values)) == 4
        # Without pre-mask filtering phi does not depend on the mask.
        uniform = torch.full_like(masks, 1 / 6)
        raw = edge_loss(
            logits_s, logits_t, uniform, use_prm=False, class_weights=1.)
        assert torch.allclose(raw, kl_divergence(logits_s, logits_t))

    def test_class_weights(self, pair, draw_labels):
        logits_s, logits_t = pair(2, 6, 8, 10)
        labels = draw_labels(2, 64, 80, 6)
        masks, valid = edge_masks(labels, 6, (8, 10))
        two = edge_loss(logits_s, logits_t, masks, valid)
        one = edge_loss(logits_s, logits_t, masks, valid, class_weights=1)
        each = [
            edge_loss(
                logits_s,
                logits_t,
                masks,
                valid,
                class_weights=[float(c == k) for k in range(6)])
            for c in range(6)
        ]
        assert torch.allclose(two, 2 * one)
        assert torch.allclose(one, sum(each))
        with pytest.raises(ValueError, match='class_weights'):
            edge_loss(logits_s, logits_t, masks, valid, class_weights=[1., 2.])

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_mixed_precision(self, pair, draw_labels, dtype):
        logits_s, logits_t = pair(2, 6, 8, 10, scale=1e4)
        logits_s = logits_s.detach().clamp(-3e4, 3e4).to(dtype)
        logits_t = logits_t.detach().clamp(-3e4, 3e4).to(dtype)
        logits_s.requires_grad_()
        labels = draw_labels(2, 64, 80, 6)
        with torch.autocast('cpu', torch.bfloat16):
            value = losses(logits_s, logits_t, labels)
        value.sum().backward()
        assert value.dtype == torch.float32 and value.isfinite().all()
        assert logits_s.grad.dtype == dtype
        assert logits_s.grad.isfinite().all()
        exact = losses(logits_s.detach().float(), logits_t.float(), labels)
        assert torch.equal(value, exact)

    def test_non_contiguous(self, pair, draw_labels):
        logits_s, logits_t = pair(2, 6, 8, 10)
        labels = draw_labels(2, 64, 80, 6)
        value = losses(logits_s, logits_t, labels)
        turned = losses(
            logits_s.transpose(2, 3), logits_t.transpose(2, 3),
            labels.transpose(1, 2))
        assert torch.allclose(value, turned, rtol=1e-5)
