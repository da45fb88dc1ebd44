import itertools
from dataclasses import replace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.structures import InstanceData

from mmkd.core.batch import StepBatch
from mmkd.core.model import DistillationModel
from mmkd.core.schedule import Progress
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.unidistill.distiller import PATHS, UniDistill
from mmkd.testing import BEV_RANGE, bev_batch, bev_detector

SENSORS = {
    'camera': dict(camera=True),
    'lidar': dict(camera=False, lidar=True),
    'fusion': dict(camera=True, lidar=True)
}


def model(path='lidar2camera', width=8, student=None, teacher=None, **kwargs):
    torch.manual_seed(0)
    sensor_t, sensor_s = path.split('2')
    teacher = teacher or bev_detector(width=width, **SENSORS[sensor_t])
    return DistillationModel(
        student=bev_detector(**SENSORS[sensor_s], **(student or {})),
        teachers=dict(teacher=dict(cfg=teacher, ckpt='random')),
        distillers=dict(
            kd=dict(
                type='UniDistill',
                path=path,
                point_cloud_range=BEV_RANGE,
                **kwargs)),
        dry_run_size=(32, 64)).train()


@pytest.mark.parametrize('path', PATHS)
def test_four_paths_train(path):
    network = model(path)
    teacher = network.teachers['teacher'].network
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    optimizer = OptimWrapper(torch.optim.AdamW(network.parameters(), lr=1e-3))
    totals = []
    for _ in range(3):
        log = network.train_step(bev_batch(), optimizer)
        terms = [
            log[f'kd.loss_{name}']
            for name in ('feature', 'relation', 'response_cls', 'response_reg')
        ]
        assert all(term.isfinite() and term > 0 for term in terms)
        totals.append(sum(terms).item())
    assert totals[-1] < totals[0]
    assert not teacher.training
    assert all(v.equal(before[k]) for k, v in teacher.state_dict().items())
    batch = network.prepare_batch(bev_batch(), ['teacher'])
    losses, _ = network.parse_losses(network(**batch, mode='loss'))
    losses.backward()
    assert all(p.grad is not None for p in network.parameters())
    # The adapters of the weaker teacher, and nothing of the teacher.
    own = {
        key.split('.')[2]
        for key in network.state_dict() if key.startswith('distill.')
    }
    assert own == ({'adapter_low', 'adapter_high'}
                   if path == 'camera2lidar' else set())
    weights = network.distillers['kd'].weights
    assert {k: w.value for k, w in weights.items()} == PATHS[path]


def shapes_of(seed):
    """Random tensors as the detectors of `bev_detector` have them."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.randn(shape, generator=generator)

    branches = [
        channels for task in (1, 2) for channels in (task, 2, 1, 3, 2, 2)
    ]
    return dict(
        bev_low=[rand(2, 8, 24, 32)],
        bev_high=[rand(2, 16, 24, 32)],
        responses=[rand(2, channels, 24, 32) for channels in branches])


def boxed(boxes=(3, 2), seed=0):
    batch = bev_batch(cameras=0, points=(), boxes=boxes, seed=seed)
    return StepBatch(None, batch['data_samples'])


@pytest.fixture(scope='module')
def plain():
    """A distiller on tensors, without networks."""
    kinds = ('heatmap', 'reg', 'height', 'dim', 'rot', 'vel')

    def make(path='fusion2lidar', change=None, **kwargs):
        distiller = UniDistill(
            path=path, point_cloud_range=BEV_RANGE, **kwargs)
        sides = []
        for side in range(2):
            found = shapes_of(0)
            head = [
                TapSpec(
                    f'bbox_head[{task}][0][{kind}]',
                    tuple(x.shape),
                    task=task,
                    branch=kind,
                    attributes=dict(class_names=[['car'], ['truck', 'bus']]))
                for (task, kind), x in zip(
                    itertools.product(range(2), kinds), found['responses'])
            ]
            specs = {
                role: [TapSpec(role, tuple(found[role][0].shape))]
                for role in ('bev_low', 'bev_high')
            }
            sides.append(dict(specs, responses=head))
        if change:
            change(sides[1])
        distiller.setup(*sides)
        return distiller

    return make


def test_padded_boxes(plain):
    student, teacher = (shapes_of(seed) for seed in (0, 1))
    weights = dict(feature=1., relation=1., response_cls=1., response_reg=1.)

    def terms(boxes, samples=None, **kwargs):
        batch = boxed(boxes)
        for i in samples or ():
            # A box of zeros, as the released code pads.
            objects = batch.data_samples[i].gt_instances_3d
            kind = type(objects.bboxes_3d)
            batch.data_samples[i].gt_instances_3d = InstanceData(
                bboxes_3d=kind.cat([
                    objects.bboxes_3d,
                    kind(torch.zeros(1, 9), box_dim=9, origin=(.5, .5, .5))
                ]),
                labels_3d=torch.cat(
                    [objects.labels_3d,
                     torch.zeros(1, dtype=torch.long)]))
        return plain(weights=weights, **kwargs)(student, teacher, batch)

    # As if the sample without boxes had one of zeros.
    padded, given = terms((2, 0), padded_boxes=True), terms((2, 0), [1])
    plainly = terms((2, 0))
    for term in weights:
        assert padded[term].item() == pytest.approx(given[term].item())
        assert padded[term].item() != pytest.approx(plainly[term].item())
    # In the mask only, if the sample has a box.
    padded, given = terms((2, 1), padded_boxes=True), terms((2, 1), [1])
    plainly = terms((2, 1))
    for term in weights:
        other = given if 'response' in term else plainly
        assert padded[term].item() == pytest.approx(other[term].item())
    # As many boxes everywhere: nothing is padded.
    assert terms((2, 2), padded_boxes=True) == terms((2, 2))
    assert UniDistill(
        path='fusion2lidar', point_cloud_range=BEV_RANGE,
        preset='released').padded_boxes


def test_gradients_reach_the_student_alone(plain):
    distiller = plain('camera2lidar')
    student, teacher = (shapes_of(seed) for seed in (0, 1))
    for tensors in (*student.values(), *teacher.values()):
        for tensor in tensors:
            tensor.requires_grad_()
    sum(distiller(student, teacher, boxed()).values()).backward()
    assert all(x.grad.abs().sum() > 0 for xs in student.values() for x in xs)
    assert all(x.grad is None for xs in teacher.values() for x in xs)
    assert all(p.grad is not None for p in distiller.parameters())


def test_order_of_samples_and_boxes(plain):
    distiller = plain()
    student, teacher = (shapes_of(seed) for seed in (0, 1))
    batch = boxed()
    terms = distiller(student, teacher, batch)
    turned = [{
        role: [x.flip(0) for x in xs]
        for role, xs in side.items()
    } for side in (student, teacher)]
    samples = [sample.clone() for sample in batch.data_samples[::-1]]
    for sample in samples:
        truth = sample.gt_instances_3d
        sample.gt_instances_3d = truth[torch.arange(len(truth)).flip(0)]
    again = distiller(*turned, StepBatch(None, samples))
    for name, value in terms.items():
        assert value.item() == pytest.approx(again[name].item(), rel=1e-4)


def test_classes_outside_of_the_blobs_do_not_count(plain):
    distiller = plain()
    student, teacher = (shapes_of(seed) for seed in (0, 1))
    batch = boxed()
    before = distiller(student, teacher, batch)['response_cls']
    mask = distiller._mask(
        student['responses'][0],
        [s.gt_instances_3d.bboxes_3d.bev for s in batch.data_samples])
    student['responses'][6] = student['responses'][6] + 5 * (mask == 0)[:,
                                                                        None]
    after = distiller(student, teacher, batch)['response_cls']
    assert before.equal(after)


def test_masks_of_the_tasks(plain):
    """Each task under the blobs of its own classes."""
    student, teacher = (shapes_of(seed) for seed in (0, 1))
    batch = boxed((4, 3))
    labels = [torch.tensor(x) for x in ([0, 1, 2, 0], [2, 2, 1])]
    for sample, own in zip(batch.data_samples, labels):
        sample.gt_instances_3d.labels_3d = own
    distiller = plain(per_task_mask=True)
    found = distiller(student, teacher, batch)
    masses, expected = 0., dict(cls=0., reg=0.)
    for task, classes in enumerate(([0], [1, 2])):
        boxes = [
            sample.gt_instances_3d.bboxes_3d.bev[torch.isin(
                own, torch.tensor(classes))]
            for sample, own in zip(batch.data_samples, labels)
        ]
        mask = distiller._mask(student['responses'][0], boxes)
        masses += mask.sum()
        heat_s, heat_t = (
            side['responses'][6 * task].sigmoid().amax(1)
            for side in (student, teacher))
        reg_s, reg_t = (
            torch.cat(side['responses'][6 * task + 1:6 * task + 6], 1)
            for side in (student, teacher))
        expected['cls'] += (mask * (heat_s - heat_t).abs()).sum()
        expected['reg'] += (mask * (reg_s - reg_t).abs().mean(1)).sum()
    for name, value in expected.items():
        assert found[f'response_{name}'].item() == pytest.approx(
            10 * (value / masses).item(), rel=1e-4)
    # Where one task has nothing, its branches get no gradient.
    for sample in batch.data_samples:
        sample.gt_instances_3d.labels_3d[:] = 0
    for x in student['responses']:
        x.requires_grad_()
    terms = distiller(student, teacher, batch)
    (terms['response_cls'] + terms['response_reg']).backward()
    got = [x.grad.abs().sum() > 0 for x in student['responses']]
    assert got == 6 * [True] + 6 * [False]


def test_processes_with_other_numbers_of_boxes(plain, monkeypatch):
    """The mean of two processes is that of one with all samples."""
    distiller = plain()
    student, teacher = (shapes_of(seed) for seed in (0, 1))
    batch = boxed((3, 1))
    for x in [x for xs in student.values() for x in xs]:
        x.requires_grad_()
    leaves = [x for xs in student.values() for x in xs]

    def total(part, mean=None):
        """Of some samples, where others report what the list says."""
        divisors = []

        def all_reduce(value, op):
            assert op == 'mean'
            divisors.append(value.clone())
            if mean:
                value.copy_(mean[len(divisors) - 1])

        monkeypatch.setattr('mmkd.ops.processes.all_reduce', all_reduce)
        sides = [{
            role: [x[part] for x in xs]
            for role, xs in side.items()
        } for side in (student, teacher)]
        terms = distiller(*sides, StepBatch(None, batch.data_samples[part]))
        return sum(terms.values()), divisors

    whole, _ = total(slice(0, 2))
    expected = torch.autograd.grad(whole, leaves)
    halves = [slice(0, 1), slice(1, 2)]
    reported = [total(part)[1] for part in halves]
    means = [sum(pair) / 2 for pair in zip(*reported)]
    parts = [total(part, means)[0] for part in halves]
    # As the gradients of distributed training are averaged.
    assert (sum(parts) / 2).item() == pytest.approx(whole.item(), rel=1e-3)
    found = torch.autograd.grad(sum(parts) / 2, leaves)
    for one, other in zip(found, expected):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-6)


def test_temperature_of_the_teacher(plain):
    student = shapes_of(0)
    terms = plain(teacher_tau=2.)(student, student, boxed())
    assert terms['response_cls'] > 0
    assert terms['response_reg'] == 0


def test_preset_of_the_release(plain):
    student, teacher = (shapes_of(seed) for seed in (0, 1))
    found, same, plainly = (
        plain(**options)(student, teacher, boxed()) for options in (
            dict(preset='released'),
            dict(teacher_tau=2., transpose_xy=True, padded_boxes=True), {}))
    for name, value in found.items():
        assert value.equal(same[name])
        assert not value.equal(plainly[name])
    # What is given counts more.
    mixed = plain(
        preset='released',
        teacher_tau=1.,
        transpose_xy=False,
        padded_boxes=False)
    terms = mixed(student, teacher, boxed())
    assert all(terms[name].equal(plainly[name]) for name in terms)


def test_other_range_of_the_teacher(plain):
    # Points beyond the smaller range are left out.
    small = (-4., -3., -3., 4., 3., 1.)
    distiller = plain(teacher_range=small)
    student, teacher = (shapes_of(seed) for seed in (0, 1))
    terms = distiller(student, teacher, boxed())
    assert all(value.isfinite() for value in terms.values())
    far = (100., 100., -3., 108., 106., 1.)
    terms = plain(teacher_range=far)(student, teacher, boxed())
    assert terms['feature'] == 0 and terms['relation'] == 0
    assert terms['response_cls'] > 0


def test_adapter_of_the_low_level_map(plain):

    def other_channels(teacher):
        teacher['bev_low'] = [TapSpec('low', (2, 5, 24, 32))]
        teacher['bev_high'] = [TapSpec('high', (2, 7, 12, 16))]

    distiller = plain(change=other_channels)
    teacher = shapes_of(1)
    teacher['bev_low'] = [torch.randn(2, 5, 24, 32)]
    teacher['bev_high'] = [torch.randn(2, 7, 12, 16)]
    terms = distiller(shapes_of(0), teacher, boxed())
    assert all(value > 0 for value in terms.values())
    assert {name
            for name, _ in distiller.named_parameters()
            } == {'adapter_low.conv.weight', 'adapter_low.conv.bias'}
    with pytest.raises(ConfigError, match='connector'):
        plain(change=other_channels, connector=None)


def test_weights(plain):
    distiller = plain(
        weights=dict(feature=3., response_cls=0., response_reg=0.))
    active = distiller.term_weights(Progress())
    assert active == dict(feature=3., relation=1.)
    terms = distiller(shapes_of(0), shapes_of(1), boxed())
    assert terms['response_cls'] == 0 and terms['feature'] > 0


def test_teacher_with_its_exported_config(tmp_path):
    """Which lists the branches of the head in another order."""
    cfg = bev_detector(**SENSORS['lidar'])
    exported = str(tmp_path / 'student.py')
    Config(cfg).dump(exported)
    branches = [
        list(c.model.bbox_head.common_heads)
        for c in (Config(cfg), Config.fromfile(exported))
    ]
    assert branches[0] != branches[1]
    networks = [model(teacher=teacher) for teacher in (cfg, exported)]
    losses = []
    for network in networks:
        # The order of the branches is that of their first weights, too.
        network.load_state_dict(networks[0].state_dict())
        network.teachers['teacher'].network.load_state_dict(
            networks[0].teachers['teacher'].network.state_dict())
        batch = network.prepare_batch(bev_batch(), ['teacher'])
        losses.append(network(**batch, mode='loss'))
    for name, value in losses[0].items():
        assert torch.as_tensor(losses[1][name]).equal(torch.as_tensor(value))


def test_heads_that_do_not_correspond(plain):

    def fewer_classes(teacher):
        teacher['responses'][6] = replace(
            teacher['responses'][6], shape=(2, 1, 24, 32))

    def other_cells(teacher):
        for i, spec in enumerate(teacher['responses']):
            teacher['responses'][i] = replace(
                spec, shape=(*spec.shape[:2], 12, 16))

    def other_order(teacher):
        for i, spec in enumerate(teacher['responses']):
            teacher['responses'][i] = replace(
                spec, attributes=dict(class_names=[['car'], ['bus', 'truck']]))

    def no_velocity(teacher):
        del teacher['responses'][5]

    def no_branch(teacher):
        teacher['responses'][5] = TapSpec('neck', (2, 2, 24, 32))

    for change, message in ((fewer_classes, "'heatmap' of task 1"),
                            (other_cells, 'cells must be the same'),
                            (other_order, 'classes of the tasks differ'),
                            (no_branch, "'neck' of the teacher is no output"),
                            (no_velocity, 'level')):
        with pytest.raises(ConfigError, match=message):
            plain(change=change)
    with pytest.raises(ConfigError, match="no branch 'iou'"):
        plain(reg_keys=('reg', 'iou'))


def test_wrong_arguments():
    for kwargs, message in ((dict(path='radar2camera'), 'lidar2camera'),
                            (dict(preset='paper'), 'default, released'),
                            (dict(point_cloud_range=[0, 1]), 'six numbers'),
                            (dict(teacher_tau=0.), 'positive')):
        with pytest.raises(ConfigError, match=message):
            UniDistill(**{
                **dict(path='lidar2camera', point_cloud_range=BEV_RANGE),
                **kwargs
            })


def test_batch_without_boxes_of_3d(plain):
    from mmdet3d.structures import Det3DDataSample
    with pytest.raises(ConfigError, match='gt_bboxes_3d'):
        plain()(shapes_of(0), shapes_of(1), StepBatch(None,
                                                      [Det3DDataSample()]))


def test_logits_are_read_before_the_loss_writes_into_them():
    # CenterHead's loss replaces its logits by probabilities.
    network = model('fusion2camera')
    batch = network.prepare_batch(bev_batch(), ['teacher'])
    distiller = network.distillers['kd']
    taken = {}
    forward = distiller.losses

    def spy(student, teacher, batch):
        taken.update(student)
        return forward(student, teacher, batch)

    distiller.losses = spy
    network(**batch, mode='loss')
    heat = taken['responses'][0]
    assert heat.min() < 0  # logits
    network.student.eval()


def test_visuals(plain):
    distiller = plain().eval()
    found = distiller.visuals(shapes_of(0), shapes_of(1), boxed())
    assert [visual.values.shape for visual in found] == 5 * [(2, 24, 32)]
    assert found[0].extent == (-12.8, -9.6, 12.8, 9.6)
