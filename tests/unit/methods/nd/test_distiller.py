import pytest
import torch

from mmkd.core.batch import StepBatch
from mmkd.core.model import DistillationModel
from mmkd.core.schedule import Progress
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError, MismatchError
from mmkd.families.roi_heads import RoIFeatures, RoISamples
from mmkd.methods.nd.distiller import ND
from mmkd.methods.nd.losses import norm_direction_distance
from mmkd.testing import detection_batch, detector
from mmkd.testing.networks import two_stage_detector


def step_of(labels, features, iteration):
    """A batch with given boxes and features of the teacher."""
    batch = StepBatch(progress=Progress(iteration, 100))
    batch.shared('roi_samples', lambda: RoISamples(None, labels))
    batch.shared('roi_features teacher', lambda: features)
    return batch


def make(**kwargs):
    distiller = ND(roi_classes=2, teacher_channels=4, **kwargs)
    spec = TapSpec('neck', (1, 3, 4, 4), network='teacher')
    distiller.setup(
        dict(
            roi_embeddings=[TapSpec('fc', (8, 4))],
            roi_logits=[TapSpec('fc', (8, 3))]), dict(neck=[spec]))
    return distiller.train()


def run(distiller, labels, at=0, seed=0):
    torch.manual_seed(seed)
    emb_s, emb_t = torch.randn(2, len(labels), 4)
    logits_s, logits_t = torch.randn(2, len(labels), 3)
    step = step_of(labels, RoIFeatures(emb_t, logits_t), at)
    terms = distiller(
        dict(roi_embeddings=[emb_s], roi_logits=[logits_s]),
        dict(neck=[torch.zeros(1, 3, 4, 4)]), step)
    return terms, (emb_s, emb_t, logits_s, logits_t)


def test_terms_and_means():
    labels = torch.tensor([0, 2, 2, 1, 2])
    distiller = make(mean_iters=2)
    terms, (emb_s, emb_t, logits_s, logits_t) = run(distiller, labels)
    means = torch.stack([emb_t[labels == k].mean(0) for k in range(3)])
    assert torch.allclose(distiller.sums / distiller.counts[:, None], means)
    assert terms['nd'].item() == pytest.approx(
        norm_direction_distance(emb_s, emb_t, means, labels).item())
    prob_t = logits_t.softmax(1)
    expected = (prob_t * (prob_t.log() - logits_s.log_softmax(1))).sum(1)
    assert terms['kd'].item() == pytest.approx(expected.mean().item())
    # Gathered for two iterations, and in training only.
    before = distiller.sums.clone()
    run(distiller.eval(), labels)
    assert distiller.sums.equal(before)
    run(distiller.train(), labels, at=1, seed=1)
    assert not distiller.sums.equal(before)
    before = distiller.sums.clone()
    run(distiller, labels, at=2, seed=2)
    assert distiller.sums.equal(before) and distiller.counts.sum() == 10


def test_means_of_the_first_active_iterations():
    """A schedule may start after ``mean_iters``."""
    labels = torch.tensor([0, 2, 2, 1, 2])
    distiller = make(mean_iters=2, loss_weight=dict(value=1., begin=50))
    terms, _ = run(distiller, labels, at=50)
    assert terms['nd'] > 0 and distiller.counts.sum() == 5
    # A resumed run gathers as many as one that never stopped.
    other = make(mean_iters=2)
    other.load_state_dict(distiller.state_dict())
    for each in (distiller, other):
        for i in (1, 2):
            run(each, labels, at=50 + i, seed=i)
    assert other.sums.equal(distiller.sums) and other.counts.sum() == 10


@pytest.mark.parametrize('at, gathered', [(1, 10), (2, 5)])
def test_a_checkpoint_that_counted_no_iterations(at, gathered):
    """It gathered in the first iterations of its run."""
    labels = torch.tensor([0, 2, 2, 1, 2])
    first, second = make(mean_iters=2), make(mean_iters=2)
    run(first, labels)
    state = first.state_dict()
    del state['steps']
    second.load_state_dict(state)
    for i in range(2):
        run(second, labels, at=at + i, seed=1)
    assert second.counts.sum() == gathered
    # Without any means, it was never active.
    state = make().state_dict()
    del state['steps']
    third = make(mean_iters=2)
    third.load_state_dict(state)
    run(third, labels, at=50)
    assert third.counts.sum() == 5


def test_background():
    labels = torch.tensor([0, 2, 2, 1, 2])
    terms, (emb_s, emb_t, *_) = run(make(use_background=False), labels)
    means = torch.stack([emb_t[labels == k].mean(0) for k in range(3)])
    front = labels < 2
    assert terms['nd'].item() == pytest.approx(
        norm_direction_distance(emb_s[front], emb_t[front], means,
                                labels[front]).item())
    # Only boxes of the background: an exact zero.
    terms, _ = run(make(use_background=False), torch.full((3, ), 2))
    assert terms['nd'] == 0 and terms['kd'] > 0


def test_without_boxes():
    terms, _ = run(make(), torch.zeros(0, dtype=torch.long))
    assert terms['nd'] == terms['kd'] == 0


def network(**kwargs):
    torch.manual_seed(0)
    wide = kwargs.pop('embedding', 16)
    return DistillationModel(
        student=two_stage_detector(4),
        teachers=dict(
            teacher=dict(
                cfg=two_stage_detector(8, embedding=wide), ckpt='random')),
        distillers=dict(nd=dict(type='ND', **kwargs)),
        dry_run_size=(64, 64)).train()


def test_boxes_are_those_of_the_student():
    model = network()
    data = model.data_preprocessor(detection_batch(), True)
    data.pop('step')
    _, tensors, batch = model.run_networks(model.planner.peak(), data)
    (student, teacher), samples = tensors['nd'], batch.roi_samples
    own, = student['roi_embeddings']
    assert len(own) == len(samples.rois) == len(samples.labels) == 32
    # The student's own maps in its boxes give its own embeddings.
    head = model.student.roi_head
    maps = model.student.extract_feat(data['inputs'])
    with torch.no_grad():
        pooled = head.bbox_roi_extractor(maps[:4], samples.rois)
        again = head.bbox_head(pooled)[0]
    assert torch.allclose(again, student['roi_logits'][0], atol=1e-5)
    objects = samples.labels < 3
    assert objects[0] and objects[16] and not objects.all()
    found = batch.roi_features('teacher', teacher['neck'])
    assert found.embeddings.shape == (32, 16) and found.logits.shape == (32, 4)
    assert not found.embeddings.requires_grad
    assert batch.roi_features('teacher', teacher['neck']) is found
    # The sampler is the head's own again.
    assert 'sample' not in vars(head.bbox_sampler)


def test_other_widths():
    with pytest.raises(MismatchError, match="16 channels.*24; connector"):
        network(embedding=24)
    model = network(embedding=24, connector='linear')
    losses = model(
        **model.data_preprocessor(detection_batch(), True), mode='loss')
    losses['nd.loss_nd'].backward()
    assert all(p.grad is not None for p in model.distillers.parameters())


def test_networks_that_do_not_fit():
    with pytest.raises(MismatchError, match='Faster and Mask R-CNN'):
        DistillationModel(
            student=detector(4),
            teachers=dict(teacher=dict(cfg=detector(8), ckpt='random')),
            distillers=dict(nd=dict(type='ND')),
            dry_run_size=(64, 64))
    with pytest.raises(MismatchError, match='number of classes'):
        DistillationModel(
            student=two_stage_detector(4),
            teachers=dict(
                teacher=dict(
                    cfg=two_stage_detector(8, num_classes=5), ckpt='random')),
            distillers=dict(nd=dict(type='ND')),
            dry_run_size=(64, 64))


@pytest.mark.parametrize('options, match', [
    (dict(variant='dkd'), 'variant is one of kd, review, none'),
    (dict(mean_iters=0), 'mean_iters'),
    (dict(tau=0), 'tau'),
])
def test_wrong_arguments(options, match):
    with pytest.raises(ConfigError, match=match):
        make(**options)


def test_means_of_an_earlier_run(tmp_path):
    labels = torch.tensor([0, 2, 2, 1, 2])
    first = make()
    run(first, labels, seed=1)
    path = str(tmp_path / 'run.pth')
    state = {f'distill.nd.{k}': v for k, v in first.state_dict().items()}
    torch.save(dict(state_dict=state), path)
    second = make(means=path)
    terms, (emb_s, emb_t, *_) = run(second, labels)
    assert second.sums.equal(first.sums)  # nothing is gathered
    assert second.counts.equal(first.counts)
    assert terms['nd'].item() == pytest.approx(
        norm_direction_distance(emb_s, emb_t, first.sums, labels).item())
    with pytest.raises(ConfigError, match=r'shape \(3, 4\).*need \(3, 5\)'):
        ND(roi_classes=2, teacher_channels=5, means=path)
    torch.save(dict(state_dict={}), path)
    with pytest.raises(ConfigError, match='means of 0 distillers'):
        make(means=path)
