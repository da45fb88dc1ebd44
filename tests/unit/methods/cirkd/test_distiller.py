import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmkd.core.batch import StepBatch
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.cirkd import distiller as module
from mmkd.methods.cirkd.distiller import CIRKD

SHAPES = (2, 3, 4, 4), (2, 5, 4, 4)
SMALL = dict(
    num_classes=3,
    pixel_queue=6,
    region_queue=4,
    pixels_per_class=2,
    pixel_keys=6,
    region_keys=6)


def made(shapes=SHAPES, **options):
    torch.manual_seed(0)
    distiller = CIRKD(**{**SMALL, **options})
    distiller.setup(*(dict(classifier_input=[TapSpec('x', shape)])
                      for shape in shapes))
    return distiller


def batch_of(labels):
    return StepBatch(data_samples=[
        SegDataSample(gt_sem_seg=PixelData(data=each[None])) for each in labels
    ])


def run(distiller, labels=None, size=4, seed=1):
    torch.manual_seed(seed)
    if labels is None:
        labels = torch.arange(16).view(1, 4, 4).expand(2, 4, 4) // 8
    student = torch.randn(SHAPES[0], requires_grad=True)
    teacher = torch.randn(2, 5, size, size)
    terms = distiller(
        dict(classifier_input=[student]), dict(classifier_input=[teacher]),
        batch_of(labels))
    return terms, student, teacher


def test_defaults_are_published():
    distiller = CIRKD()
    assert distiller.peak_weights() == dict(batch=1.0, pixel=0.1, region=0.1)
    assert distiller.tau == 0.1 and distiller.pool == 1
    assert distiller.sizes == dict(pixel=20000, region=2000)
    assert distiller.keys == dict(pixel=4096, region=1024)
    assert distiller.pixels_per_class == 16
    # Keys of a step on Cityscapes.
    assert [19 * (n // 19 + 1)
            for n in distiller.keys.values()] == [4104, 1026]


def test_queues_fill_in_training_only():
    distiller = made()
    before = {k: v.clone() for k, v in distiller.queues.state_dict().items()}
    run(distiller.eval())
    for key, value in distiller.queues.state_dict().items():
        assert value.equal(before[key])
    _, _, teacher = run(distiller.train())
    after = distiller.queues.state_dict()
    # Two images of two classes each; the third class keeps its vectors.
    assert after['pixel.pointers'].tolist() == [4, 4, 0]
    assert after['region.pointers'].tolist() == [2, 2, 0]
    for term in ('pixel', 'region'):
        assert after[f'{term}.vectors'][2].equal(before[f'{term}.vectors'][2])
    torch.testing.assert_close(after['pixel.vectors'].norm(dim=2),
                               torch.ones(3, 6))
    # A class fills the upper half of each image, the other the lower one.
    cells = torch.nn.functional.normalize(teacher.flatten(2), dim=1)
    means = torch.nn.functional.normalize(
        cells.unflatten(2, (2, 8)).sum(3), dim=1)
    for image in range(2):
        for k in range(2):
            torch.testing.assert_close(after['region.vectors'][k, image],
                                       means[image, :, k])
            members = cells[image, :, 8 * k:8 * k + 8].T
            for vector in after['pixel.vectors'][k, 2 * image:2 * image + 2]:
                assert (members - vector).abs().sum(1).min() < 1e-6
    run(distiller)
    # The first image reaches the end.
    assert distiller.queues['pixel'].pointers.tolist() == [2, 2, 0]


def test_resume_is_exact():
    first, second = made(), made()
    run(first)
    second.load_state_dict(first.state_dict())
    for distiller in (first, second):
        distiller.found = run(distiller, seed=2)[0]
    assert first.found == second.found


def test_all_processes_store_what_all_of_them_give(monkeypatch):
    """The images of the other process are those of this one, reversed."""
    monkeypatch.setattr(module, 'all_gather', lambda x: [x, x.flip(0)])
    distiller = made(pixel_queue=20, region_queue=20)
    run(distiller)
    for term, each in (('pixel', 2), ('region', 1)):
        queue = distiller.queues[term]
        assert queue.pointers.tolist() == [4 * each, 4 * each, 0]
        own, other = queue.vectors[:2, :4 * each].chunk(2, 1)
        assert own.unflatten(1, (2, each)).equal(
            other.unflatten(1, (2, each)).flip(1))


def test_ignored_cells():
    distiller = made()
    before = {k: v.clone() for k, v in distiller.queues.state_dict().items()}
    terms, student, _ = run(distiller, torch.full((2, 4, 4), 255))
    assert terms['pixel'] == terms['region'] == 0 < terms['batch']
    (terms['pixel'] + terms['region']).backward()
    assert not student.grad.any()
    assert all(p.grad is not None for p in distiller.parameters())
    assert all(
        v.equal(before[k]) for k, v in distiller.queues.state_dict().items())
    # The published form compares all cells of the batch.
    assert run(made(valid_only=True), torch.full((2, 4, 4),
                                                 255))[0]['batch'] == 0


def test_pooling_and_sizes():
    pooled, student, teacher = run(made(pool=2))
    halves = (torch.nn.functional.avg_pool2d(x, 2) for x in (student, teacher))
    wanted, _ = module.batch_loss(*halves)
    assert pooled['batch'].item() == pytest.approx(wanted.item())
    assert run(made(), size=2)[0]['region'].isfinite()


def test_nothing_is_stored_without_a_weight():
    distiller = made(weights=dict(pixel=0, region=0), num_classes=None)
    assert not distiller.state_dict()
    assert made(weights=dict(pixel=0)).queues.keys() == {'region'}


@pytest.mark.parametrize('options, message', [
    (dict(pixel_queue=0), 'pixel_queue is a positive integer'),
    (dict(region_keys=1.5), 'region_keys is a positive integer'),
    (dict(pixels_per_class=7), 'the queue holds 6'),
    (dict(num_classes=None), 'set num_classes'),
    (dict(shapes=((2, 3, 4), (2, 5, 4, 4))), 'one map'),
])
def test_wrong_options(options, message):
    with pytest.raises(ConfigError, match=message):
        made(**options)
