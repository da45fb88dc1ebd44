import pytest
import torch

from mmkd.methods.logits_kd.losses import (DIVERGENCES, cell_classes,
                                           class_score_losses, standardise)

ZERO_FOR_EQUAL = [
    name for name in DIVERGENCES if name not in ('nkd', 'pld', 'sinkhorn')
]
ROWS_A = ([[0, 1, 2]], [[2, 1, 0]], [0])
ROWS_B = ([[0, 1, 2], [3, 0, 1]], [[2, 1, 0], [1, 3, 0]], [0, 2])


def maps(rows_s, rows_t, labels=None):
    """Rows (R, C) as maps (1, C, R, 1) in float64."""
    logits = [
        torch.tensor(rows, dtype=torch.float64).T[None, :, :, None]
        for rows in (rows_s, rows_t)
    ]
    classes = None if labels is None else torch.tensor(labels).view(
        1, 1, -1, 1)
    return logits, classes


def terms(divergence, rows, tau, standardised=False):
    (logits_s, logits_t), classes = maps(*rows)
    found = class_score_losses(
        divergence,
        logits_s,
        logits_t,
        tau,
        classes=classes,
        standardised=standardised)
    return [value.item() for value in found.values()]


def random_maps(tensors, *shape, scale=2.0):
    """Maps of both sides and the class of each cell."""
    logits_s, logits_t = tensors(*shape, scale=scale)
    generator = torch.Generator().manual_seed(1)
    size = (shape[0], 1, *shape[2:])
    return logits_s, logits_t, torch.randint(
        shape[1], size, generator=generator)


@pytest.mark.parametrize('rows, expected', [
    (ROWS_A, dict(kl=1.319629912, binary=0.924234315,
                  binary_norm=0.960916056)),
    (ROWS_B, dict(kl=1.924497135, binary=1.169921923, binary_norm=1.299078844))
])
def test_golden_values_of_one_term(rows, expected):
    taus = dict(kl=4.0, binary=2.0, binary_norm=2.0)
    for name, value in expected.items():
        assert terms(name, rows, taus[name]) == pytest.approx([value],
                                                              abs=1e-8)


@pytest.mark.parametrize('rows, parts, weighted',
                         [(ROWS_A, (0.995722867, 0.462117157), 5.010043476),
                          (ROWS_B, (0.514381182, 1.393880944), 14.805274536)])
def test_golden_values_of_dkd(rows, parts, weighted):
    assert terms('dkd', rows, 1.0) == pytest.approx(parts, abs=1e-8)
    target, non_target = terms('dkd', rows, 4.0)
    assert target + 8 * non_target == pytest.approx(weighted, abs=1e-8)


@pytest.mark.parametrize('rows, expected',
                         [(ROWS_A, [(1.5, 1, 3.168118492),
                                    (3.5, 3, 24.738250863)]),
                          (ROWS_B, [(1.5, 1, 3.647870873),
                                    (3.5, 3, 27.755487506)])])
def test_golden_values_of_nkd(rows, expected):
    for weight, tau, value in expected:
        target, non_target = terms('nkd', rows, tau)
        assert target + weight * non_target == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize('rows, tau, expected', [(ROWS_A, 1, 1.923030618),
                                                 (ROWS_A, 4, 1.438112597),
                                                 (ROWS_B, 1, 2.293283974),
                                                 (ROWS_B, 4, 1.698794501)])
def test_golden_values_of_pld(rows, tau, expected):
    assert terms('pld', rows, tau) == pytest.approx([expected], abs=1e-8)


def test_golden_values_of_reductions():
    logits_s = torch.tensor([[[0, 3], [1, 0], [2, 1]], [[0, 0], [0, 0],
                                                        [1, 1]]]).double()
    logits_t = torch.tensor([[[2, 1], [1, 3], [0, 0]], [[1, 0], [1, 3],
                                                        [0, 0]]]).double()
    valid = torch.tensor([[1, 0], [1, 1]]).bool()
    weights = torch.tensor([[1, 1], [2, .5]]).double()
    three, five = torch.tensor(3.), torch.tensor(5.)
    for expected, kept, factors, divisor in ((1.232425465, None, None, None),
                                             (0.889572707, valid, None, three),
                                             (0.954784721, valid, None, None),
                                             (0.825885699, valid, weights,
                                              three), (0.495531419, valid,
                                                       weights, five)):
        found = class_score_losses(
            'kl',
            logits_s[..., None],
            logits_t[..., None],
            1.,
            None if kept is None else kept[:, None, :, None],
            weights=None if factors is None else factors[:, None, :, None],
            divisor=divisor)
        assert found['loss'].item() == pytest.approx(expected, abs=1e-8)


def test_pld_ranks_equal_logits_by_class():
    (logits_s, logits_t), classes = maps([[0, 1, 2]], [[1, 1, 1]], [1])
    loss = class_score_losses('pld', logits_s, logits_t, 1., classes=classes)
    # The ranking is 1, 0, 2.
    expected = (logits_s.logsumexp(1) - 1 + logits_s[:, ::2].logsumexp(1)) / 3
    assert loss['loss'].item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize('rows, total', [(ROWS_A, 0.640313336),
                                         (ROWS_B, 1.099422041)])
def test_golden_values_of_sinkhorn(rows, total):
    expected = total / len(rows[0])
    assert terms('sinkhorn', rows, 2.) == pytest.approx([expected], abs=1e-8)


def test_sinkhorn_samples_valid_cells(tensors):
    """One valid cell among more than are taken has no choice of a partner."""
    logits_s, logits_t = tensors(2, 3, 32, 32)
    valid = torch.zeros(2, 32, 32, dtype=torch.bool)
    valid[1, 3, 4] = True
    loss = class_score_losses('sinkhorn', logits_s, logits_t, 2., valid)
    prob_s, prob_t = ((x[1, :, 3, 4] / 2).softmax(dim=0)
                      for x in (logits_s, logits_t))
    assert loss['loss'].item() == pytest.approx(
        (prob_s - prob_t).abs().sum().item(), rel=1e-5)


def test_golden_values_of_balanced():
    rows = [[0, 1, 2], [0, 0, 1]], [[1, 1, 0], [0, 3, 0]]
    expected = (2.009250481 + 4.107113161) / 2
    assert terms('balanced', rows, 1.) == pytest.approx([expected], abs=1e-8)
    forward, reverse = 0.657205152, 0.694840178
    (logits_s, logits_t), _ = maps(rows[0][:1], rows[1][:1])
    loss = class_score_losses('balanced', logits_s, logits_t, 1., nu=3.)
    assert loss['loss'].item() == pytest.approx(
        3 * forward + reverse, abs=1e-8)


@pytest.mark.parametrize('rows, tau, expected', [
    (ROWS_B, 1, (1.683546322, 1.333333514)),
    (([[1, 0, 0], [0, 2, 0]], [[2, 1, 0], [0, 1, 3]]), 1,
     (0.731111051, 1.333333183)),
    (([[1, 0, 0], [0, 2, 0]], [[2, 1, 0], [0, 1, 3]]), 4,
     (10.986855452, 21.333301792)),
    (([[1, 2], [0, 0], [0, 3], [0, 1]], [[2, 1], [1, 3], [0, 1], [0, 1]]), 1,
     (0.750000012, 1.240077804)),
])
def test_golden_values_of_dist(rows, tau, expected):
    assert terms('dist', rows, tau) == pytest.approx(expected, abs=1e-8)


def test_golden_values_of_dist_of_sigmoids():
    (logits_s, logits_t), _ = maps([[1, 0, 0], [0, 2, 0]],
                                   [[2, 1, 0], [0, 1, 3]])
    found = class_score_losses('dist', logits_s, logits_t, 1., sigmoid=True)
    assert [x.item() for x in found.values()
            ] == pytest.approx([0.594746932, 0.666666742], abs=1e-8)


def test_dist_of_anchors():
    """Each anchor is a cell, and each class a column."""
    torch.manual_seed(0)
    logits_s, logits_t = torch.randn(2, 2, 6, 2, 2).double().unbind()
    valid = torch.rand(2, 1, 2, 2) > 0.3
    found = class_score_losses(
        'dist', logits_s, logits_t, 1., valid, sigmoid=True, anchors=2)
    parts = [torch.cat([x[:, :3], x[:, 3:]]) for x in (logits_s, logits_t)]
    wanted = class_score_losses(
        'dist', *parts, 1., valid.repeat(2, 1, 1, 1), sigmoid=True)
    for term, value in wanted.items():
        assert found[term].item() == pytest.approx(value.item())


def test_dist_knows_no_order_of_cells_and_no_offset():
    torch.manual_seed(0)
    logits_s, logits_t = torch.randn(2, 1, 4, 1, 6).double().unbind()
    wanted = class_score_losses('dist', logits_s, logits_t, 1.)
    order = torch.randperm(6)
    offsets = torch.randn(1, 1, 1, 6)
    for maps_s, maps_t in ((logits_s[..., order], logits_t[..., order]),
                           (logits_s + offsets, logits_t - 2 * offsets)):
        for term, value in class_score_losses('dist', maps_s, maps_t,
                                              1.).items():
            assert value.item() == pytest.approx(wanted[term].item())


def test_dist_of_a_single_cell():
    logits_s, logits_t = torch.randn(2, 1, 4, 1, 1).unbind()
    logits_s.requires_grad_()
    found = class_score_losses('dist', logits_s, logits_t, 1.)
    assert found['intra'] == 1
    # A uniform cell has no correlation, and no gradient that is not finite.
    uniform = torch.zeros(1, 4, 1, 1, requires_grad=True)
    loss = class_score_losses('dist', uniform, logits_t, 1.)['inter']
    loss.backward()
    assert loss == 1 and uniform.grad.isfinite().all()


@pytest.mark.parametrize('rows, expected', [(ROWS_A, 1.280626425),
                                            (ROWS_B, 1.188517478)])
def test_golden_values_of_standardised_logits(rows, expected):
    assert terms(
        'kl', rows, 2.0, standardised=True) == pytest.approx([expected],
                                                             abs=1e-6)


def test_dkd_with_the_weights_of_the_divergence_is_the_divergence(tensors):
    """For one cell, whose probability of the label is known."""
    logits_s, logits_t, classes = random_maps(tensors, 1, 5, 1, 1)
    rest = 1 - logits_t.softmax(dim=1).gather(1, classes)
    parts = class_score_losses('dkd', logits_s, logits_t, 1., classes=classes)
    whole = class_score_losses('kl', logits_s, logits_t, 1.)['loss']
    assert (parts['target'] +
            rest.sum() * parts['non_target']).item() == pytest.approx(
                whole.item(), rel=1e-5)


@pytest.mark.parametrize('name', ZERO_FOR_EQUAL)
def test_equal_logits(tensors, name):
    logits_s, _, classes = random_maps(tensors, 2, 5, 3, 4)
    found = class_score_losses(
        name, logits_s, logits_s.detach().clone(), 2.0, classes=classes)
    sum(found.values()).backward()
    assert all(0 <= value < 2e-6 for value in found.values())
    assert logits_s.grad.abs().max() < 1e-5


@pytest.mark.parametrize('name', DIVERGENCES)
def test_gradient_is_right(tensors, name):
    logits_s, logits_t, classes = random_maps(tensors, 2, 3, 2, 2)
    valid = torch.tensor([[[1, 1], [0, 1]], [[0, 0], [1, 0]]]).bool()
    assert torch.autograd.gradcheck(
        lambda z: tuple(
            class_score_losses(
                name,
                z,
                logits_t.double(),
                2.0,
                valid,
                classes,
                standardised=True).values()),
        logits_s.detach().double().requires_grad_())


@pytest.mark.parametrize('name', DIVERGENCES)
def test_invalid_cells_do_not_matter(tensors, name):
    logits_s, logits_t, classes = random_maps(tensors, 2, 5, 3, 4)
    valid = torch.ones(2, 1, 3, 4, dtype=torch.bool)
    valid[0, 0, 1:, :2] = False
    found = class_score_losses(name, logits_s, logits_t, 1., valid, classes)
    spoilt = logits_s.detach().masked_fill(~valid, torch.nan).requires_grad_()
    again = class_score_losses(name, spoilt,
                               logits_t.masked_fill(~valid, torch.inf), 1.,
                               valid, classes.masked_fill(~valid, 0))
    assert found == again
    sum(again.values()).backward()
    assert torch.equal(spoilt.grad * ~valid, torch.zeros_like(spoilt))
    assert spoilt.grad.any()


def test_dist_takes_the_valid_cells_of_the_batch_together(tensors):
    logits_s, logits_t = tensors(2, 5, 3, 4)
    valid = torch.rand(
        2, 1, 3, 4, generator=torch.Generator().manual_seed(0)) < 0.6
    rows = [
        x.detach().permute(0, 2, 3, 1)[valid[:, 0]].T[None, :, :, None]
        for x in (logits_s, logits_t)
    ]
    found = class_score_losses('dist', logits_s, logits_t, 1., valid)
    expected = class_score_losses('dist', *rows, 1.)
    for term, value in found.items():
        assert value.item() == pytest.approx(expected[term].item(), rel=1e-5)


@pytest.mark.parametrize('name', DIVERGENCES)
def test_no_valid_cell_gives_attached_zeros(tensors, name):
    logits_s, logits_t, classes = random_maps(tensors, 2, 5, 3, 4)
    found = class_score_losses(name, logits_s, logits_t, 1.,
                               torch.zeros(2, 3, 4, dtype=torch.bool), classes)
    sum(found.values()).backward()
    assert set(value.item() for value in found.values()) == {0}
    assert torch.equal(logits_s.grad, torch.zeros_like(logits_s))


@pytest.mark.parametrize('name', DIVERGENCES)
@pytest.mark.parametrize('standardised', [False, True])
def test_huge_logits_and_constant_cells(tensors, name, standardised):
    logits_s, logits_t, classes = random_maps(tensors, 2, 5, 3, 4, scale=1e4)
    logits_s.data[0, :, 0] = 3.
    logits_t[1, :, 0] = -2.
    found = class_score_losses(
        name, logits_s, logits_t, 1., None, classes, standardised=standardised)
    sum(found.values()).backward()
    assert all(value.isfinite() for value in found.values())
    assert logits_s.grad.isfinite().all()


def test_standardised_logits_do_not_depend_on_scale_and_shift(tensors):
    logits, _ = tensors(2, 5, 3, 4)
    assert torch.allclose(
        standardise(3 * logits + 7), standardise(logits), atol=1e-5)


@pytest.mark.parametrize('name, maps_kept', [('kl', 2), ('dist', 5),
                                             ('dkd', 4), ('nkd', 4),
                                             ('binary', 4), ('binary_norm', 2),
                                             ('pld', 6), ('balanced', 4)])
def test_memory_for_the_backward_pass(name, maps_kept):
    """150 classes and 100,000 cells keep 60 MB a map in float32. Less is
    enough to count the maps."""
    logits_s = torch.randn(1, 150, 20, 50).requires_grad_()
    logits_t = torch.randn(1, 150, 20, 50)
    classes = torch.randint(150, (1, 1, 20, 50))
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        found = class_score_losses(name, logits_s, logits_t, 1., None, classes)
    assert found
    assert sum(kept.values()) <= (maps_kept + 0.2) * 4 * logits_s.numel()


def test_class_of_a_cell():
    labels = torch.tensor([[[1, 1, 255, 0], [1, 2, 7, 3]] * 2])
    classes, known = cell_classes(labels, (2, 2), 4, 255)
    assert classes.tolist() == [[[[2, 3]] * 2]]
    assert known.tolist() == [[[[True, True]] * 2]]
    classes, known = cell_classes(labels, (4, 4), 4, 255)
    assert known[0, 0].tolist() == [[1, 1, 0, 1], [1, 1, 0, 1]] * 2
    assert classes[0, 0, 0].tolist() == [1, 1, 0, 0]
