"""SparseKD with centre heads and with anchor heads."""
from copy import deepcopy

import pytest
import torch
from mmengine.structures import InstanceData

from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.families.objects_3d import true_objects
from mmkd.methods.sparsekd import SparseKD
from mmkd.testing.examples import PLAIN
from mmkd.testing.lidar import centerpoint, lidar_batch, pointpillars
from tests.fixtures.scans import KINDS, losses_of

ONLY_LABELS = dict(cls=0., reg=0.)


def model_of(kind, teacher=None, **options):
    make = KINDS[kind][0]
    torch.manual_seed(0)
    teacher = dict(cfg=teacher or make(8), ckpt='random', **PLAIN)
    return DistillationModel(
        make(), dict(teacher=teacher),
        dict(kd=dict(type='SparseKD', **options))).train()


def data_of(kind):
    _, channels, box_size = KINDS[kind]
    return lidar_batch(channels=channels, box_size=box_size)


def finer(kind):
    """A teacher with twice as many cells along each side."""
    if kind == 'anchor':
        return pointpillars(voxel_size=(.25, .25, 4))
    cfg = centerpoint()
    model = cfg['model']
    model['pts_backbone']['layer_strides'] = [1, 2]
    for part in (model['train_cfg']['pts'], model['test_cfg']['pts'],
                 model['pts_bbox_head']['bbox_coder']):
        part['out_size_factor'] = 1
    return cfg


def task_loss(losses):
    return sum(
        sum(value) if isinstance(value, list) else value
        for name, value in losses.items() if name.startswith('student.'))


@pytest.mark.parametrize('kind', KINDS)
def test_a_finer_teacher(kind):
    """Its own grid has the pivotal positions; codes are not compared."""
    model = model_of(kind, finer(kind), label_score=0.)
    assert not model.distillers['kd'].same_grid
    losses = losses_of(model, data_of(kind))
    assert losses['kd.loss_cls'] > 0 == losses['kd.loss_reg']
    assert losses['kd.loss_label'] != 0
    losses['kd.loss_cls'].backward()
    assert any(p.grad is not None and p.grad.any()
               for p in model.student.parameters())


@pytest.mark.parametrize('kind', KINDS)
def test_a_finer_teacher_without_train_cfg(kind):
    teacher = finer(kind)
    teacher['model']['train_cfg'] = None
    model = model_of(kind, teacher)
    with pytest.raises(ConfigError, match="give the teacher's config the tr"):
        losses_of(model, data_of(kind))


@pytest.mark.parametrize('kind', KINDS)
def test_a_finer_teacher_looks_at_its_own_cells(kind):
    model = model_of(kind, finer(kind))
    data = model.data_preprocessor(data_of(kind), True)
    tensors, batch = model.observe(data)
    visuals = model.distillers['kd'].visuals(*tensors['kd'], batch)
    assert {x.name
            for x in visuals} == {
                'pivotal positions', 'score, teacher', 'score, student',
                'distance'
            }
    size = tensors['kd'][1]['head_maps'][0].shape[-2:]
    for visual in visuals:
        assert visual.values.shape[-2:] == size
    mask = next(x.values for x in visuals if x.name == 'pivotal positions')
    assert 0 < mask.max() <= 1 and (mask == 0).any()
    # Without ground truth, as in evaluation.
    for sample in batch.host_samples:
        sample.gt_instances_3d = InstanceData()
    visuals = model.distillers['kd'].visuals(*tensors['kd'], batch)
    assert 'pivotal positions' not in {x.name for x in visuals} > {'distance'}


@pytest.mark.parametrize('kind', KINDS)
def test_labels_replace_the_students(kind, monkeypatch):
    """The loss on both, in sum; nothing without a confident box."""
    data = data_of(kind)
    plain = losses_of(
        model_of(kind, weights=ONLY_LABELS, label_score=1.), data)
    assert plain['kd.loss_label'] == 0

    def shifted(self, heads, truth, metas):
        found = [deepcopy(x) for x in truth]
        for objects in found:
            objects.bboxes_3d.tensor[:, 2] += .5
        return found

    monkeypatch.setattr(SparseKD, 'with_boxes', shifted)
    change, whole = (
        losses_of(model_of(kind, weights=ONLY_LABELS, labels=labels),
                  data)['kd.loss_label'] for labels in ('replace', 'add'))
    assert change.abs() > 1e-3
    assert whole.item() == pytest.approx(
        (task_loss(plain) + change).item(), abs=1e-3)


def merged(model, data):
    """The merged labels of a batch, and the ground truth."""
    distiller = model.distillers['kd']
    data = model.data_preprocessor(data, True)
    tensors, batch = model.observe(data)
    truth = [true_objects(x) for x in batch.data_samples]
    heads = distiller._heads(*tensors['kd'], batch)
    metas = [x.metainfo for x in batch.data_samples]
    return distiller.with_boxes(heads, truth, metas), truth


@pytest.mark.parametrize('kind', KINDS)
def test_the_ground_truth_stands_first(kind):
    model = model_of(kind, label_score=0.)
    for found, truth in zip(*merged(model, data_of(kind))):
        assert len(found.bboxes_3d) > len(truth.bboxes_3d) > 0
        count = len(truth.bboxes_3d)
        assert found.bboxes_3d.tensor[:count].equal(truth.bboxes_3d.tensor)
        assert found.labels_3d[:count].equal(truth.labels_3d)
    # With a threshold of 1 nothing is added, bit for bit.
    model = model_of(kind, label_score=1.)
    for found, truth in zip(*merged(model, data_of(kind))):
        assert found.bboxes_3d.tensor.equal(truth.bboxes_3d.tensor)
        assert found.labels_3d.equal(truth.labels_3d)


def test_neighbouring_peaks_and_thresholds_of_classes():
    """Of the 20 highest peaks of each task, NMS leaves at most 5."""
    data, counts = data_of('center'), {}
    for name, options in dict(
            all={}, nms=dict(label_nms=True),
            first=dict(label_score=[0., 1., 1.])).items():
        found, truth = merged(
            model_of('center', **{
                'label_score': 0.,
                **options
            }), deepcopy(data))
        counts[name] = found[0].labels_3d[len(truth[0].labels_3d):]
    assert len(counts['nms']) < len(counts['all'])
    assert {0, 1, 2} >= set(counts['all'].tolist()) > {0}
    assert counts['first'].equal(counts['all'][counts['all'] == 0])


def test_ignored_objects_are_none():
    data = data_of('center')
    for sample in data['data_samples']:
        sample.gt_instances_3d.labels_3d[:] = -1
    losses = losses_of(model_of('center', weights=dict(label=0.)), data)
    assert losses['kd.loss_cls'] == losses['kd.loss_reg'] == 0


def test_options_that_make_no_sense():
    for wrong in (dict(labels='no'), dict(label_score=1.5),
                  dict(label_score=[.6, -1.]), dict(score_thr=2.)):
        with pytest.raises(ConfigError):
            SparseKD(**wrong)
    with pytest.raises(ConfigError, match='2 numbers, but the head 3 classes'):
        losses_of(model_of('center', label_score=[.6, .5]), data_of('center'))
    teacher = centerpoint()
    teacher['model']['pts_bbox_head']['norm_bbox'] = False
    with pytest.raises(ConfigError, match='norm_bbox of the student is True'):
        model_of('center', teacher)
