"""Which class scores of detection heads are compared."""
import pytest
import torch

from mmkd.core.batch import StepBatch
from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError, MismatchError
from mmkd.families.roi_heads import RoIFeatures, RoISamples
from mmkd.methods.logits_kd.distiller import LogitsKD
from mmkd.methods.logits_kd.losses import DIVERGENCES, class_score_losses
from mmkd.testing import detection_batch, detector
from mmkd.testing.lidar import centerpoint, lidar_batch, pointpillars
from mmkd.testing.networks import two_stage_detector


def model_of(student, teacher, **options):
    torch.manual_seed(0)
    return DistillationModel(
        student,
        dict(teacher=dict(cfg=teacher, ckpt='random')),
        dict(kd=dict(type='LogitsKD', **options)),
        dry_run_size=(64, 64)).train()


def run(model, batch):
    """The distiller, its tensors and the batch of a step."""
    data = model.prepare_batch(batch, ['teacher'])
    _, tensors, step = model.run_networks(model.planner.peak(), data)
    return model.distillers['kd'], tensors['kd'], step


def terms_with(model, tensors, step, **options):
    """Terms with other options, from the same tensors."""
    distiller = LogitsKD(**options)
    distiller.setup(*model.taps.specs_of('kd'))
    return distiller.losses(*tensors, step)


def as_rows(logits, classes):
    """(N, A * C, H, W) as (N * H * W * A, C), in float64."""
    return torch.stack([
        logits[n, a * classes:(a + 1) * classes, y, x]
        for n in range(len(logits)) for y in range(logits.size(2))
        for x in range(logits.size(3))
        for a in range(logits.size(1) // classes)
    ]).double()


def expected(divergence, pairs, labels, count, classes):
    """The terms of the positives of all levels over ``count``."""
    total = {}
    for (logits_s, logits_t), own in zip(pairs, labels):
        kept = own < classes
        rows_s, rows_t = (
            as_rows(x, classes)[kept] for x in (logits_s, logits_t))
        found = class_score_losses(
            divergence,
            rows_s[:, :, None, None],
            rows_t[:, :, None, None],
            DIVERGENCES[divergence].tau,
            classes=own[kept].view(-1, 1, 1, 1),
            divisor=torch.tensor(1. * count)) if kept.any() else {}
        for term, value in found.items():
            total[term] = total.get(term, 0) + value.item()
    return total


@pytest.fixture(scope='module', params=['retinanet', 'gfl', 'atss', 'fcos'])
def dense(request):
    model = model_of(
        detector(kind=request.param),
        detector(8, channels=16, kind=request.param),
        place='dense_logits',
        divergence='dkd')
    return model, *run(model, detection_batch())


def test_positives_of_dense_heads(dense):
    model, _, tensors, step = dense
    maps_s, maps_t = (x['dense_logits'] for x in tensors)
    targets = step.dense_targets(maps_s)
    count = max(float(targets.num_positives), 1)
    for divergence in ('kl', 'dkd', 'nkd', 'pld', 'balanced'):
        found = terms_with(
            model, tensors, step, place='dense_logits', divergence=divergence)
        wanted = expected(divergence, list(zip(maps_s, maps_t)),
                          targets.labels, count, 3)
        assert wanted.keys() == found.keys()
        for term, value in wanted.items():
            assert found[term].item() == pytest.approx(value, rel=1e-4), term


def test_anchors_of_the_class_loss(dense):
    """``binary`` over the anchors that count, and on the positives."""
    model, _, tensors, step = dense
    maps_s, maps_t = (x['dense_logits'] for x in tensors)
    targets = step.dense_targets(maps_s)
    count = max(float(targets.num_positives), 1)
    options = dict(place='dense_logits', divergence='binary')
    counted = terms_with(
        model, tensors, step, valid_only=True, **options)['loss']
    every = terms_with(
        model, tensors, step, reduction='avg_factor', **options)['loss']
    positives = terms_with(
        model, tensors, step, foreground_only=True, **options)['loss']
    wanted = torch.zeros(3, dtype=torch.float64)
    for map_s, map_t, own, weight in zip(maps_s, maps_t, targets.labels,
                                         targets.label_weights):
        s, t = (as_rows(x, 3)[:, :, None, None] for x in (map_s, map_t))
        for i, kept in enumerate((weight > 0, own < 3, own >= 0)):
            wanted[i] += class_score_losses(
                'binary',
                s,
                t,
                2.,
                kept.view(-1, 1, 1),
                divisor=torch.tensor(count))['loss'].item()
    torch.testing.assert_close(
        torch.stack([counted, positives, every]).double(),
        wanted,
        rtol=1e-4,
        atol=1e-6)


def test_couples_of_anchors(dense):
    """Divergences that couple cells read the same rows."""
    model, _, tensors, step = dense
    found = terms_with(
        model, tensors, step, place='dense_logits', divergence='sinkhorn')
    assert found['loss'] > 0
    found = terms_with(
        model,
        tensors,
        step,
        place='dense_logits',
        divergence='dist',
        foreground_only=True)
    assert 0 < found['inter'] < 10 and 0 < found['intra'] < 10


def test_weights_of_images_and_cells(dense):
    model, _, tensors, step = dense
    options = dict(place='dense_logits', divergence='kl')
    first, second = (
        terms_with(
            model,
            tensors,
            step,
            cell_weights=lambda *_, i=i: torch.eye(2)[i],
            **options)['loss'] for i in range(2))
    seen = []

    def cells(batch, logits_s, logits_t):
        assert not logits_s.requires_grad and batch is step
        seen.append(logits_s.shape[2:])
        size = len(logits_s), 1, *logits_s.shape[2:]
        return torch.tensor([1., 3.]).view(2, 1, 1, 1).expand(size)

    found = terms_with(model, tensors, step, cell_weights=cells, **options)
    assert found['loss'].item() == pytest.approx(
        (first + 3 * second).item(), rel=1e-5)
    assert len(seen) == len(tensors[0]['dense_logits'])


def test_aux_head_with_other_classes():
    with pytest.raises(MismatchError, match='number of classes .* is 3.*is 4'):
        model_of(
            detector(),
            detector(8, num_classes=4),
            place='dense_logits',
            divergence='dkd',
            aux_head=True)


def test_heads_without_a_known_assignment():
    student = detector()
    student['model']['bbox_head'].update(
        type='FreeAnchorRetinaHead', loss_bbox=dict(type='SmoothL1Loss'))
    with pytest.raises(MismatchError, match='a FreeAnchorRetinaHead; dense'):
        model_of(student, student, place='dense_logits')
    # Others need none.
    model_of(student, student, place='dense_logits', divergence='dist')


def test_a_single_class():
    """Its softmax is always 1."""
    model = model_of(
        detector(num_classes=1),
        detector(8, num_classes=1),
        place='dense_logits')
    with pytest.raises(ConfigError, match="1 class.*divergence='binary'"):
        run_losses(model, detection_batch(num_classes=1))


def run_losses(model, batch):
    distiller, tensors, step = run(model, batch)
    return distiller.losses(*tensors, step)


# ---------------------------------------------------------------- RoI heads


def boxes_of(distiller, logits_s, logits_t, labels, images=None):
    """Terms of the boxes of a RoI head."""
    batch = StepBatch(data_samples=[None, None])
    rois = torch.zeros(len(labels), 5)
    if images is not None:
        rois[:, 0] = torch.tensor(images)
    batch.shared('roi_samples', lambda: RoISamples(rois, labels))
    batch.shared('roi_features ', lambda: RoIFeatures(None, logits_t))
    distiller._teacher = ''
    return distiller.losses(dict(roi_logits=[logits_s]), dict(neck=[]), batch)


@pytest.mark.parametrize('name', DIVERGENCES)
def test_boxes(tensors, name):
    logits_s, logits_t = tensors(5, 4)
    labels = torch.tensor([0, 3, 2, 3, 1])
    for foreground_only in (False, True):
        kept = labels < 3 if foreground_only else labels < 4
        wanted = class_score_losses(
            name,
            *(x[kept].T[None, :, :, None] for x in (logits_s, logits_t)),
            DIVERGENCES[name].tau,
            classes=labels[kept].view(1, 1, -1, 1))
        found = boxes_of(
            LogitsKD(
                place='roi_logits',
                divergence=name,
                foreground_only=foreground_only), logits_s, logits_t, labels)
        for term, value in wanted.items():
            assert found[term].item() == pytest.approx(value.item(), rel=1e-5)


def test_no_boxes(tensors):
    logits_s, logits_t = tensors(0, 4)
    for name in DIVERGENCES:
        found = boxes_of(
            LogitsKD(place='roi_logits', divergence=name), logits_s, logits_t,
            torch.zeros(0, dtype=torch.long))
        assert all(x == 0 and x.requires_grad for x in found.values())


def test_weights_of_boxes(tensors):
    logits_s, logits_t = tensors(3, 4)
    labels = torch.tensor([0, 3, 2])
    weights = torch.tensor([1., 2., 2.])
    of_images, of_boxes = (
        boxes_of(
            LogitsKD(place='roi_logits', cell_weights=lambda *_, x=x: x),
            logits_s, logits_t, labels, [0, 1, 1])['loss']
        for x in (weights[:2], weights[:, None]))
    rows = torch.nn.functional.kl_div(
        logits_s.log_softmax(1),
        logits_t.log_softmax(1),
        reduction='none',
        log_target=True).sum(1)
    assert of_boxes.item() == pytest.approx(
        (rows * weights).mean().item(), rel=1e-5)
    assert of_images == of_boxes
    # One number a box is not one an image.
    with pytest.raises(ConfigError, match=r'give \(2,\) for images or \(3, 1'):
        boxes_of(
            LogitsKD(place='roi_logits', cell_weights=lambda *_: weights),
            logits_s, logits_t, labels, [0, 1, 1])


def test_two_stages_have_their_place():
    model = model_of(two_stage_detector(4), two_stage_detector(8))
    distiller, tensors, step = run(model, detection_batch())
    assert distiller.place == 'roi_logits'
    found = distiller.losses(*tensors, step)
    rows_s = tensors[0]['roi_logits'][0]
    rows_t = step.roi_features('teacher', tensors[1]['neck']).logits
    wanted = torch.nn.functional.kl_div(
        rows_s.log_softmax(1),
        rows_t.log_softmax(1),
        reduction='batchmean',
        log_target=True)
    assert found['loss'].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert distiller.visuals(*tensors, step) == []


# ----------------------------------------------------------- 3D class maps


@pytest.fixture(scope='module', params=['center', 'anchor'])
def lidar(request):
    make, kwargs = dict(
        center=(centerpoint, dict(channels=5, box_size=9)),
        anchor=(pointpillars, dict(channels=4, box_size=7)))[request.param]
    model = model_of(make(4), make(8), place='class_maps', divergence='binary')
    return request.param, model, *run(model, lidar_batch(**kwargs))


def test_positives_of_3d_heads(lidar):
    kind, model, distiller, (student, teacher), step = lidar
    pairs = distiller._pairs(student, teacher, step)
    classes = step.head.num_classes
    labels = step.head.class_labels(step.host_objects, [x for x, _ in pairs])
    # A centre or an anchor of each class that there is.
    truth = {int(x) for frame in step.host_objects for x in frame.labels_3d}
    there = set(torch.cat(labels).tolist())
    assert classes in there
    assert there - {classes} == truth if kind == 'anchor' else truth & there
    count = sum((x < classes).sum() for x in labels)
    for divergence in ('binary', 'kl', 'dkd'):
        if classes < DIVERGENCES[divergence].min_classes:
            continue
        found = terms_with(
            model, (student, teacher),
            step,
            place='class_maps',
            divergence=divergence,
            foreground_only=True)
        wanted = expected(divergence, pairs, labels, count, classes)
        for term, value in wanted.items():
            assert found[term].item() == pytest.approx(value, rel=1e-4), term


def test_whole_maps_of_3d_heads(lidar):
    _, model, distiller, tensors, step = lidar
    pairs = distiller._pairs(*tensors, step)
    found = terms_with(
        model, tensors, step, place='class_maps', divergence='binary')
    wanted = sum(
        class_score_losses('binary', *pair, 2.)['loss'] for pair in pairs)
    assert torch.equal(found['loss'], wanted)
    visuals = distiller.visuals(*tensors, step)
    assert len(visuals) == len(pairs)
    assert visuals[0].values.shape == pairs[0][0][:, 0].shape
