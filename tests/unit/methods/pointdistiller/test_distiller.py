"""PointDistiller on tensors and on small detectors."""
import copy

import pytest
import torch

from mmkd import apis
from mmkd.core.model import DistillationModel
from mmkd.core.schedule import Progress
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.pointdistiller.options import PRESETS
from mmkd.testing.lidar import centerpoint, lidar_batch, pointpillars, second
from tests.fixtures.voxels import make, run, step, voxels

EPS = 1 + 1e-5  # of batch normalisation in eval mode


def reference(distiller, feat_s, feat_t, importance, groups):
    """The published formula with edges written out, loss weight 1."""
    d, options = distiller, distiller.resolved
    edges_s, edges_t, parts = [], [], []
    for rows in groups:
        if not len(rows):
            continue
        s, t, p = feat_s[rows], feat_t[rows], importance[rows].float()
        n, k = min(options.num_centres,
                   len(rows)), min(options.num_neighbours, len(rows))
        q = p.topk(n).indices
        near = torch.cdist(t[q], t).topk(k, largest=False).indices
        for edges, x in ((edges_s, s), (edges_t, t)):
            edges.append(
                torch.cat([x[near], x[q][:, None].expand(-1, k, -1)], 2))
        weights = n * (p[q] / options.tau).softmax(0) \
            if options.reweight == 'softmax' else torch.ones(n)
        parts.append((n, k, weights))

    def encode(layer, edges):
        flat = torch.cat([e.flatten(0, 1) for e in edges])
        flat = flat @ layer.linear.weight.t()
        flat = (flat - flat.mean(0)) / (flat.var(0, unbiased=False) +
                                        1e-5).sqrt()
        return flat.relu().split([n * k for n, k, _ in parts])

    losses = []
    for g_s, g_t, (n, k, weights) in zip(
            encode(d.layers_s[0], edges_s), encode(d.layers_t[0], edges_t),
            parts):
        g_s, g_t = g_s.view(n, k, -1), g_t.view(n, k, -1)
        if options.pool == 'max':
            g_s, g_t = (g.amax(1, keepdim=True) for g in (g_s, g_t))
        losses.append((weights[:, None, None] * (g_t - g_s)**2).mean())
    return sum(losses) / len(losses)


@pytest.mark.parametrize('scope', ['batch', 'sample'])
@pytest.mark.parametrize('pool', ['none', 'max'])
@pytest.mark.parametrize('tau', [1e-2, 30.])
def test_against_the_formula_on_voxels(scope, pool, tau):
    feat_s, feat_t, counts, coors = voxels()
    distiller = make([feat_s], [feat_t],
                     num_centres=9,
                     num_neighbours=5,
                     scope=scope,
                     pool=pool,
                     tau=tau,
                     loss_weight=1.0)
    groups = [torch.arange(60)] if scope == 'batch' else [
        torch.arange(30), torch.arange(30, 60)
    ]
    loss = run(distiller, [feat_s], [feat_t], step(counts, coors))
    expected = reference(distiller, feat_s, feat_t, counts, groups)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def by_hand(**arguments):
    """t=[1,2,3], s=[2,2,5] of one channel, both layers [1, 1]."""
    student = torch.tensor([[2.], [2.], [5.]])
    teacher = torch.tensor([[1.], [2.], [3.]])
    distiller = make([student], [teacher], num_centres=2, **arguments).eval()
    for layer in (*distiller.layers_s, *distiller.layers_t):
        layer.linear.weight.data.fill_(1)
    return distiller, student, teacher


@pytest.mark.parametrize('counts, neighbours, value', [
    ([3, 3, 1], 1, 4),
    ([3, 2, 1], 1, 8),
    ([3, 2, 1], 3, 28 / 3),
])
def test_values_of_the_page(counts, neighbours, value):
    distiller, student, teacher = by_hand(num_neighbours=neighbours)
    loss = run(distiller, [student], [teacher], step(counts))
    assert loss.item() == pytest.approx(value / EPS, rel=1e-5)


def test_equal_networks_and_layers():
    _, feat_t, counts, _ = voxels(num_s=6)
    feat_s = feat_t.clone().requires_grad_()
    distiller = make([feat_s], [feat_t], num_centres=9, num_neighbours=5)
    assert run(distiller, [feat_s], [feat_t], step(counts)) > 0
    distiller.layers_t.load_state_dict(distiller.layers_s.state_dict())
    loss = run(distiller, [feat_s], [feat_t], step(counts))
    assert loss == 0
    loss.backward()
    assert not feat_s.grad.any()


@pytest.mark.parametrize('scope', ['batch', 'sample'])
def test_order_of_the_rows(scope):
    feat_s, feat_t, counts, coors = voxels()
    distiller = make([feat_s], [feat_t],
                     num_centres=9,
                     num_neighbours=5,
                     scope=scope)

    def loss_of(order_s, order_t):
        return run(distiller, [feat_s[order_s]], [feat_t[order_t]],
                   step(counts[order_t], coors[order_t])).item()

    plain = torch.arange(60)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    loss = loss_of(plain, plain)
    assert loss_of(order, order) == pytest.approx(loss, rel=1e-5)
    assert loss_of(order, plain) != pytest.approx(loss, rel=1e-3)


def test_fewer_voxels_than_centres_and_neighbours():
    feat_s, feat_t, counts, coors = voxels(7)
    distiller = make([feat_s], [feat_t], loss_weight=1.0)
    options = distiller.resolved
    assert (options.num_centres, options.num_neighbours) == (6000, 128)
    loss = run(distiller, [feat_s], [feat_t], step(counts, coors))
    assert loss.item() == pytest.approx(
        reference(distiller, feat_s, feat_t, counts, [torch.arange(7)]).item(),
        rel=1e-5)


@pytest.mark.parametrize('num', [0, 1])
def test_too_few_edges_to_normalise(num):
    feat_s, feat_t, counts, coors = voxels(num)
    distiller = make([feat_s], [feat_t])
    loss = run(distiller, [feat_s], [feat_t], step(counts, coors))
    assert loss == 0 and loss.dtype == torch.float32
    loss.backward()
    assert not feat_s.grad.any()
    for parameter in distiller.parameters():
        assert parameter.grad is not None and not parameter.grad.any()


def test_a_single_edge_in_eval_mode():
    distiller, student, teacher = by_hand(num_neighbours=1)
    loss = run(distiller, [student[:1]], [teacher[:1]], step([3]))
    assert loss.item() == pytest.approx(8 / EPS, rel=1e-5)


def test_scans_without_voxels():
    feat_s, feat_t, counts, coors = voxels()
    samples = [None] * 4  # the scans 1 and 3 are empty
    coors[:, 0] *= 2
    for scope in ('batch', 'sample'):
        distiller = make([feat_s], [feat_t],
                         num_centres=9,
                         num_neighbours=5,
                         scope=scope)
        full = coors.clone()
        full[:, 0] //= 2
        without = run(distiller, [feat_s], [feat_t], step(counts, full))
        loss = run(distiller, [feat_s], [feat_t], step(counts, coors, samples))
        assert loss.item() == pytest.approx(without.item(), rel=1e-6)


def test_scans_of_other_sizes_are_averaged():
    """Neighbour lists of other lengths; each scan counts the same."""
    feat_s, feat_t, counts, coors = voxels()
    coors[:, 0] = (torch.arange(60) >= 3).int()
    distiller = make([feat_s], [feat_t],
                     num_centres=9,
                     num_neighbours=5,
                     scope='sample',
                     loss_weight=1.0)
    loss = run(distiller, [feat_s], [feat_t], step(counts, coors))
    expected = reference(
        distiller, feat_s, feat_t, counts,
        [torch.arange(3), torch.arange(3, 60)])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_duplicates():
    feat_s, feat_t, counts, _ = voxels()
    feat_s = feat_s.detach()[:1].expand(60, -1)
    feat_t = feat_t[:1].expand(60, -1)
    distiller = make([feat_s], [feat_t], num_centres=9, num_neighbours=5)
    loss = run(distiller, [feat_s], [feat_t], step(counts))
    assert loss.isfinite() and loss < 1e-3


def test_weights():
    feat_s, feat_t, counts, _ = voxels()

    def loss_of(**arguments):
        distiller = make([feat_s], [feat_t],
                         num_centres=9,
                         num_neighbours=5,
                         **arguments)
        return run(distiller, [feat_s], [feat_t], step(counts)).item()

    uniform = loss_of(reweight='uniform')
    assert loss_of(tau=1e9) == pytest.approx(uniform, rel=1e-5)
    assert loss_of(tau=1e-4) != pytest.approx(uniform, rel=1e-3)
    assert loss_of(
        reweight='encoding', tau=1e9) == pytest.approx(
            uniform, rel=1e-5)
    assert 0 < loss_of(reweight='encoding', tau=.1) != uniform


def test_pooling_a_single_neighbour():
    feat_s, feat_t, counts, _ = voxels()
    one, two, three = (
        run(
            make([feat_s], [feat_t],
                 num_centres=9,
                 num_neighbours=1,
                 pool=pool), [feat_s], [feat_t], step(counts))
        for pool in ('none', 'max', 'mean'))
    assert one.item() == pytest.approx(two.item()) == pytest.approx(
        three.item())


def test_both_edges_span_the_same_functions():
    feat_s, feat_t, counts, _ = voxels()
    concat, diff = (
        make([feat_s], [feat_t], num_centres=9, num_neighbours=5, edge=edge)
        for edge in ('concat', 'diff'))
    for one, two in ((concat.layers_s, diff.layers_s), (concat.layers_t,
                                                        diff.layers_t)):
        first, second = one[0].linear.weight.data.chunk(2, 1)
        two[0].linear.weight.data = torch.cat([-first, first + second], 1)
    assert run(concat, [feat_s], [feat_t], step(counts)).item() == (
        pytest.approx(
            run(diff, [feat_s], [feat_t], step(counts)).item(), rel=1e-5))


@pytest.mark.parametrize('pool', ['none', 'max'])
def test_local_distillation_alone(pool):
    feat_s, feat_t, counts, coors = voxels()
    loss = run(
        make([feat_s], [feat_t],
             num_centres=9,
             num_neighbours=5,
             scope='sample',
             pool=pool,
             variant='local'), [feat_s], [feat_t], step(counts, coors))
    plain = make([feat_s], [feat_t],
                 num_centres=9,
                 num_neighbours=5,
                 scope='sample',
                 pool=pool,
                 reweight='uniform',
                 loss_weight=1.)
    mean = reference(plain, feat_s, feat_t, counts,
                     [torch.arange(30), torch.arange(30, 60)])
    # Two scans of 9 centres with 4 channels: the norm of all of them.
    total = 2 * 9 * 4 * (5 if pool == 'none' else 1)
    assert loss.item() == pytest.approx(5e-4 * (total * mean).sqrt().item())
    # Equal encodings give neither a loss nor a NaN.
    equal = torch.randn(20, 4, requires_grad=True)
    distiller = make([equal], [equal], variant='local')
    distiller.layers_s.load_state_dict(distiller.layers_t.state_dict())
    loss = run(distiller, [equal], [equal.detach()], step(torch.ones(20)))
    loss.backward()
    assert loss == 0 and not equal.grad.any()


@pytest.mark.parametrize('pool, total', [('none', 4 + 1 + 0 + 1 + 16),
                                         ('max', 1 + 0 + 16)])
def test_local_distillation_of_scans_with_unlike_neighbours(pool, total):
    distiller, student, teacher = by_hand(
        num_neighbours=2, scope='sample', pool=pool, variant='local')
    # Two nodes in the first scan, each with two neighbours; one in the second.
    coors = [[0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]]
    loss = run(distiller, [student], [teacher], step([3, 2, 1], coors))
    assert loss.item() == pytest.approx(5e-4 * (total / EPS)**0.5, rel=1e-5)


@pytest.mark.parametrize('budget', [1e-6, 1e-3, 1e3])
def test_memory_budget_changes_nothing(budget):
    feat_s, feat_t, counts, _ = voxels()
    losses = [
        run(
            make([feat_s], [feat_t],
                 num_centres=20,
                 num_neighbours=5,
                 knn_budget_mib=mib), [feat_s], [feat_t], step(counts))
        for mib in (64., budget)
    ]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)


# ------------------------------------------------------------- maps, points


def maps(*shape, teacher=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    feat_s = torch.randn(shape, generator=generator).relu()
    feat_t = torch.randn(teacher or shape, generator=generator).relu()
    return feat_s.requires_grad_(), feat_t


@pytest.mark.parametrize('shape, teacher', [
    ((2, 4, 6, 5), (2, 7, 6, 5)),
    ((2, 4, 40), (2, 7, 40)),
])
@pytest.mark.parametrize('importance', ['max', 'abs_mean'])
def test_cells_and_points(shape, teacher, importance):
    feat_s, feat_t = maps(*shape, teacher=teacher)
    distiller = make([feat_s], [feat_t],
                     num_centres=9,
                     num_neighbours=5,
                     importance=importance,
                     loss_weight=1.0)
    assert distiller.kind == ('cells' if len(shape) == 4 else 'points')
    assert distiller.resolved.pool == ('none' if len(shape) == 4 else 'max')
    loss = run(distiller, [feat_s], [feat_t])
    rows_s, rows_t = (
        feat.flatten(2).transpose(1, 2).flatten(0, 1)
        for feat in (feat_s, feat_t))
    p = rows_t.amax(1) if importance == 'max' else rows_t.abs().mean(1)
    groups = torch.arange(len(rows_t)).chunk(2)
    expected = reference(distiller, rows_s, rows_t, p, groups)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert feat_s.grad.any()


def test_levels_are_added():
    pairs = [maps(2, 4, 6, 5), maps(2, 8, 3, 3, seed=1)]
    student, teacher = map(list, zip(*pairs))
    distiller = make(student, teacher, num_centres=9, num_neighbours=5)
    assert [layer.norm.num_features for layer in distiller.layers_t] == [4, 8]
    terms = distiller(dict(nodes=student), dict(nodes=teacher), step())
    parts = []
    for i in range(2):
        alone = copy.deepcopy(distiller)
        alone.setup(*(dict(nodes=[TapSpec('x', tuple(side[i].shape))])
                      for side in (student, teacher)))
        alone.layers_s[0].load_state_dict(distiller.layers_s[i].state_dict())
        alone.layers_t[0].load_state_dict(distiller.layers_t[i].state_dict())
        parts.append(run(alone.train(), [student[i]], [teacher[i]]).item())
    assert terms['loss'].item() == pytest.approx(sum(parts), rel=1e-5)
    assert terms['graph_var'] > 0 < terms['graph_mean']


def test_the_released_second_is_a_sum_over_the_scans():
    """Coefficient 2, and weights that are the number of scans: 12 at 6."""
    feat_s, feat_t = maps(6, 4, 6, 5)
    one, two = (
        make([feat_s], [feat_t],
             num_centres=9,
             num_neighbours=5,
             graph_channels=32,
             preset=preset) for preset in ('second', 'centerpoint_voxel'))
    assert run(one, [feat_s], [feat_t]).item() == pytest.approx(
        6 * run(two, [feat_s], [feat_t]).item(), rel=1e-6)


# ---------------------------------------------------------------- alignment


def test_maps_of_other_sizes():
    feat_s, feat_t = maps(2, 4, 3, 4, teacher=(2, 4, 6, 8))
    with pytest.raises(ConfigError, match="3x4 nodes.*6x8; align='bev'"):
        make([feat_s], [feat_t])
    distiller = make([feat_s], [feat_t],
                     num_centres=9,
                     num_neighbours=5,
                     align='bev')
    larger = torch.nn.functional.interpolate(
        feat_s, (6, 8), mode='bilinear', align_corners=False)
    loss = run(distiller, [feat_s], [feat_t])
    assert loss.item() == pytest.approx(
        run(distiller, [larger], [feat_t]).item(), rel=1e-6)
    loss.backward()
    assert feat_s.grad.any()


# ------------------------------------------------------- gradients, precision


@pytest.mark.parametrize('teacher_layer', ['train', 'frozen'])
def test_who_gets_a_gradient(teacher_layer):
    feat_s, feat_t, counts, _ = voxels()
    feat_t.requires_grad_()
    distiller = make([feat_s], [feat_t],
                     num_centres=4,
                     num_neighbours=3,
                     teacher_layer=teacher_layer)
    loss = run(distiller, [feat_s], [feat_t], step(counts))
    loss.backward()
    graph, = distiller.graphs(
        dict(nodes=[feat_s]), dict(nodes=[feat_t]), step(counts))[0]
    gathered = torch.zeros(60, dtype=torch.bool)
    gathered[graph.centres] = gathered[graph.neighbours.flatten()] = True
    assert feat_t.grad is None and not feat_s.grad[~gathered].any()
    # The one centre with all the weight, and its neighbours.
    assert feat_s.grad[gathered].any() and not gathered.all()
    assert all(p.grad.any() for p in distiller.layers_s.parameters())
    for parameter in distiller.layers_t.parameters():
        if teacher_layer == 'train':
            assert parameter.grad.any()
        else:
            assert parameter.grad is None and not parameter.requires_grad


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    feat_s, feat_t, counts, _ = voxels(num_t=64)
    feat_s, feat_t = 40 + feat_s.detach(), 40 + feat_t
    feat_s, feat_t = feat_s.to(dtype).requires_grad_(), feat_t.to(dtype)
    distiller = make([feat_s], [feat_t], num_centres=9, num_neighbours=5)
    whole = run(distiller, [feat_s.float()], [feat_t.float()], step(counts))
    with torch.autocast('cpu', torch.bfloat16):
        loss = run(distiller, [feat_s], [feat_t], step(counts))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(whole.item(), rel=1e-2)
    loss.backward()
    assert feat_s.grad.dtype == dtype and feat_s.grad.isfinite().all()


def test_a_broken_feature_shows():
    feat_s, feat_t, counts, _ = voxels()
    broken = feat_t.clone()
    broken[counts.argmax()] = float('nan')
    distiller = make([feat_s], [feat_t], num_centres=9, num_neighbours=5)
    assert run(distiller, [feat_s], [broken], step(counts)).isnan()


# ------------------------------------------------------------------ settings


def test_another_setup_takes_the_values_of_its_kind():
    distiller = make([torch.zeros(50, 6)], [torch.zeros(50, 6)])
    assert distiller.resolved.num_centres == PRESETS['voxels']['num_centres']
    specs = dict(nodes=[TapSpec('backbone[0]', (2, 6, 10, 5))])
    distiller.setup(specs, specs)
    assert distiller.resolved.num_centres == PRESETS['cells']['num_centres']


@pytest.mark.parametrize('preset', sorted(PRESETS))
@pytest.mark.parametrize('variant', ['code', 'paper'])
def test_presets(preset, variant):
    shape = {
        'count': (50, 6),
        'max': (2, 6, 10, 5)
    }[PRESETS[preset]['importance']]
    if PRESETS[preset]['pool'] == 'max':
        shape = (2, 6, 50)
    feat_s, feat_t = maps(*shape)
    distiller = make([feat_s], [feat_t], preset=preset, variant=variant)
    values = PRESETS[preset]
    assert distiller.options.num_centres is None
    for name in ('num_centres', 'num_neighbours', 'importance', 'tau',
                 'graph_channels'):
        assert getattr(distiller.resolved, name) == values[name]
    weight, = distiller.term_weights(Progress()).values()
    if variant == 'code':
        assert (distiller.resolved.pool, distiller.resolved.scope,
                distiller.resolved.reweight,
                weight) == (values['pool'], values['scope'],
                            values['reweight'], values['loss_weight'])
    else:
        reweight = 'encoding' if distiller.kind == 'points' else 'softmax'
        assert (distiller.resolved.pool, distiller.resolved.scope,
                distiller.resolved.reweight, weight) == ('max', 'sample',
                                                         reweight, 1)
    # C' is that of the preset, or the student's.
    channels = values['graph_channels'] or 6
    assert distiller.layers_t[0].norm.num_features == channels


@pytest.mark.parametrize('shape_s, shape_t, arguments, message', [
    ((9, 4), (2, 4, 3, 3), {}, 'of one kind, but the taps give cells, vox'),
    ((4, ), (4, ), {}, r'gives the shape \(4,\)'),
    ((2, 4, 3, 3), (2, 4, 3, 3), dict(importance='count'),
     "cells have no number of points; set importance='max'"),
    ((2, 4, 9), (2, 4, 9), dict(align='coors'), 'is for voxels'),
    ((9, 4), (9, 4), dict(align='bev'), "such as 'backbone"),
    ((2, 4, 9), (2, 4, 8), {}, '9 nodes .* 8$'),
])
def test_refused_taps(shape_s, shape_t, arguments, message):
    with pytest.raises(ConfigError, match=message):
        make([torch.zeros(shape_s)], [torch.zeros(shape_t)], **arguments)


# ----------------------------------------------------------- with detectors


@pytest.mark.parametrize('student, teacher, data', [
    (pointpillars(4), pointpillars(8), dict()),
    (centerpoint(4), centerpoint(8), dict(channels=5, box_size=9)),
    (second(2), second(4), dict()),
])
def test_one_step(student, teacher, data):
    torch.manual_seed(0)
    model = DistillationModel(
        student, dict(teacher=dict(cfg=teacher, ckpt='random')),
        dict(pd=dict(type='PointDistiller', num_centres=40,
                     num_neighbours=6))).train()
    batch = model.data_preprocessor(lidar_batch(**data), True)
    total, log = model.parse_losses(model(**batch, mode='loss'))
    total.backward()
    assert log['pd.loss'] > 0 and log['loss'].isfinite()
    assert log['pd.graph_var'] > 0
    keys = set(model.state_dict())
    assert 'distill.pd.layers_t.0.linear.weight' in keys
    plain = {key for key in keys if not key.startswith('distill.')}
    assert plain == set(model.student.state_dict())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    teacher = model.teachers['teacher'].network
    assert all(p.grad is None for p in teacher.parameters())


def test_prediction_knows_nothing_of_it():
    model = DistillationModel(
        pointpillars(4),
        dict(teacher=dict(cfg=pointpillars(8), ckpt='random')),
        dict(pd=dict(type='PointDistiller', num_centres=40)))

    def fail(*args):
        raise AssertionError('a layer ran')

    for layer in (*model.distillers['pd'].layers_s,
                  *model.distillers['pd'].layers_t):
        layer.register_forward_pre_hook(fail)
    found = model.val_step(lidar_batch())
    assert len(found) == 2 and 'pred_instances_3d' in found[0]
    plain = apis.student_only(
        dict(
            default_scope='mmdet3d',
            model=dict(
                type='mmkd.DistillationModel',
                student=pointpillars(4)['model'],
                teachers=dict(teacher=dict(cfg='x')),
                distillers=dict(pd=dict(type='PointDistiller')))))
    assert plain.model.type == 'VoxelNet'


def test_another_row_order_within_a_voxel():
    """Points of a pillar in another order give the same loss."""
    model = DistillationModel(
        pointpillars(4),
        dict(teacher=dict(cfg=pointpillars(8), ckpt='random')),
        dict(pd=dict(type='PointDistiller', num_centres=20,
                     num_neighbours=4))).eval()
    batch = model.data_preprocessor.prepare(lidar_batch(), ['teacher'])
    other = copy.deepcopy(batch)
    for inputs in (other['inputs'],
                   other['teacher_batches']['teacher']['inputs']):
        points = inputs['voxels']['voxels']
        for row, count in zip(points, inputs['voxels']['num_points']):
            row[:count] = row[:count].flip(0)
    one, two = (model(**data, mode='loss') for data in (batch, other))
    assert one['pd.loss'].item() == pytest.approx(
        two['pd.loss'].item(), rel=1e-4)


# ------------------------------------------------------------------ pictures
