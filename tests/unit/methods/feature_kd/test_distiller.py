import pytest
import torch
from torch import nn

from mmkd.core.batch import StepBatch
from mmkd.core.schedule import Progress
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.feature_kd.distiller import FeatureKD, image_cells

S = torch.tensor([[1., 1], [1, -1]]).T.reshape(1, 2, 1, 2)
T = torch.tensor([[1., 2], [0, -1]]).T.reshape(1, 2, 1, 2)


def made(harness, student, teacher, identity=True, **options):
    distiller = harness.set_up(
        FeatureKD(**options), student, teacher, 'features')
    if identity:
        distiller.projectors = nn.ModuleList(nn.Identity() for _ in student)
    return distiller


def run(distiller, student, teacher, batch=None):
    return distiller(
        dict(features=student), dict(features=teacher), batch
        or StepBatch())['loss']


@pytest.mark.parametrize('options, expected', [
    (dict(standardise='none'), 0.179894),
    (dict(preset='dsi'), 0.172105),
    (dict(preset='edgecrafter'), 0.5),
    (dict(preset='libreyolo'), 0.5),
    (dict(preset='theia', standardise='none'), .9 *
     (1 - 4 / 24**.5) + .1 * .25),
])
def test_presets(harness, options, expected):
    distiller = made(harness, [S], [T], **options)
    assert run(distiller, [S], [T]).item() == pytest.approx(expected, rel=1e-5)
    assert run(distiller, [T], [T]).item() == pytest.approx(0, abs=1e-6)


def test_one_teacher_map_serves_all_levels(harness):
    small = S[..., :1]
    distiller = made(harness, [S, small], [T], preset='dsi')
    # The mean of both cells of the teacher, (0.5, 0.5), for the small one.
    assert run(distiller, [S, small], [T]).item() == pytest.approx(
        0.172105 / 2, rel=1e-5)
    total = made(harness, [S, S], [T, T], preset='edgecrafter')
    assert run(total, [S, S], [T, T]).item() == pytest.approx(1.)
    with pytest.raises(ConfigError, match='3 level.* 2 in the teacher'):
        made(harness, [S] * 3, [T] * 2)


def test_resized_to_the_teacher(harness):
    distiller = made(
        harness, [S[..., :1]], [T], preset='dsi', resize_to='teacher')
    cosines = 3 / 10**.5, -1 / 2**.5
    assert run(distiller, [S[..., :1]], [T]).item() == pytest.approx(
        1 - sum(cosines) / 2, rel=1e-5)


def test_joined_maps(harness):
    distiller = made(harness, [S], [T, T[..., :1]], False, preset='lightly_v2')
    assert distiller.projectors[0].out_channels == 4
    # Both resized to the last one, whose only cell is (1, 2).
    distiller.projectors[0] = nn.Conv2d(2, 4, 1)
    nn.init.zeros_(distiller.projectors[0].weight)
    nn.init.zeros_(distiller.projectors[0].bias)
    found = run(distiller, [S], [T, T[..., :1]]).item()
    assert found == pytest.approx((.5**2 + .5**2 + 1 + 4) / 4)


def test_summary(harness):
    distiller = FeatureKD(preset='eupe', student='a', teacher='sam:b')
    assert distiller.teacher_taps['summary'][0].network == 'sam'
    assert list(distiller.weights) == ['loss', 'summary']
    assert FeatureKD(preset='eupe').teacher_taps['summary'] is None
    torch.manual_seed(0)
    maps, summary = torch.randn(2, 3, 4, 4), torch.randn(2, 5)
    distiller = FeatureKD(preset='eupe', standardise='none')
    spec = [TapSpec('a', maps.shape)]
    distiller.setup(
        dict(features=spec),
        dict(features=spec, summary=[TapSpec('b', summary.shape)]))
    with torch.no_grad():
        distiller.summary_head.weight.zero_()
        distiller.summary_head.bias.copy_(summary[0])
    summary = summary[:1].expand(2, 5)
    found = distiller(
        dict(features=[maps]), dict(features=[maps], summary=[summary]),
        StepBatch())
    assert found['summary'].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('kind', ['channel', 'global', 'layer'])
def test_scale_and_shift_of_the_teacher_do_not_matter(harness, kind):
    torch.manual_seed(0)
    feat_s, feat_t = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    losses = [
        run(made(harness, [feat_s], [x], standardise=kind), [feat_s], [x])
        for x in (feat_t, 50 * feat_t + 7)
    ]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-4)


def test_statistics_are_held_after_the_calibration(harness):
    distiller = made(harness, [S], [T], calibration=2)
    for i, changes in enumerate([True, True, False]):
        before = distiller.statistics[0].sums.clone()
        run(distiller, [S], [T], StepBatch(progress=Progress(i, 10)))
        assert changes != before.equal(distiller.statistics[0].sums)
    distiller.eval()
    before = distiller.statistics[0].sums.clone()
    run(distiller, [S], [T])
    assert before.equal(distiller.statistics[0].sums)


def test_phi_rotates_after_the_calibration_and_resumes(harness):
    torch.manual_seed(0)
    feat_s, feat_t = torch.randn(2, 3, 4, 4), torch.randn(2, 4, 4, 4)

    def new():
        torch.manual_seed(1)
        return made(
            harness, [feat_s], [feat_t],
            False,
            standardise='phi',
            calibration=2)

    whole, first, second = new(), new(), new()
    rotated, found = [], []
    for i in range(4):
        found.append(run(whole, [feat_s], [feat_t + i]).item())
        rotation = whole.statistics[0].rotation
        rotated.append(not torch.equal(rotation, torch.eye(4)))
    assert rotated == [False, False, True, True]
    for i in range(2):
        run(first, [feat_s], [feat_t + i])
    second.load_state_dict(first.state_dict())
    assert [run(second, [feat_s], [feat_t + i]).item()
            for i in (2, 3)] == found[2:]


@pytest.mark.parametrize('size, batches', [(8, 8), (1, 40)])
def test_statistics_before_training(harness, size, batches):
    """Of 64 images, and of ten cells for each channel."""
    feat_s, feat_t = torch.randn(8, 3, size,
                                 size), torch.randn(8, 32, size, size)
    distiller = made(harness, [feat_s], [feat_t], False)
    drawn = []

    def endless():
        while True:
            drawn.append(1)
            yield dict(features=[torch.randn_like(feat_t)])

    distiller.before_training(endless(), 9)
    assert len(drawn) == batches
    before = distiller.statistics[0].sums.clone()
    run(distiller, [feat_s], [feat_t])
    distiller.before_training(endless(), 9)
    assert len(drawn) == batches
    assert before.equal(distiller.statistics[0].sums)
    made(
        harness, [feat_s], [feat_t], False,
        standardise='none').before_training(iter(()), 9)


@pytest.mark.parametrize('projector', ['linear', 'mlp'])
def test_gradients(harness, tensors, projector):
    student, teacher = tensors(2, 4, 8, 6)
    distiller = made(
        harness, [student], [teacher[:, :3]], False, projector=projector)
    run(distiller, [student], [teacher[:, :3].detach()]).backward()
    assert student.grad.any()
    assert all(p.grad.any() for p in distiller.parameters())


def test_cells_of_the_image():
    from mmengine.structures import BaseDataElement
    samples = [
        BaseDataElement(metainfo=dict(img_shape=size))
        for size in ((32, 64), (20, 48))
    ]
    batch = StepBatch(inputs=torch.zeros(2, 3, 32, 64), data_samples=samples)
    found = image_cells(batch, torch.zeros(2, 5, 4, 8))
    assert found.shape == (2, 1, 4, 8) and found[0].all()
    # 20 of 32 rows are two whole cells of 8 and a half; 48 columns are six.
    assert found[1, 0, :2, :6].all() and found[1].sum() == 12
    full = StepBatch(
        inputs=torch.zeros(1, 3, 32, 64), data_samples=samples[:1])
    assert image_cells(full, torch.zeros(1, 5, 4, 8)) is None


@pytest.mark.parametrize('options, text', [
    (dict(preset='x'), 'preset is one of default, radio, eupe'),
    (dict(loss='x'), 'loss'),
    (dict(alpha=-1), 'alpha and beta'),
    (dict(calibration=0), 'calibration'),
])
def test_wrong_options(options, text):
    with pytest.raises(ConfigError, match=text):
        FeatureKD(**options)
