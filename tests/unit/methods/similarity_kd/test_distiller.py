import pytest
import torch

from mmkd.core.batch import StepBatch
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.similarity_kd.distiller import SimilarityKD


def made(summary=(2, 5), **options):
    distiller = SimilarityKD(**options)
    specs = dict(
        stages=[TapSpec('t', (2, 6, 4, 4))], summary=[TapSpec('x', summary)])
    distiller.setup(
        dict(stages=[TapSpec('s', (2, 4, 8, 8))]), read(distiller, specs))
    return distiller


def read(distiller, by_role):
    """Of the teacher, what a distiller reads."""
    return {role: by_role[role] for role in distiller.teacher_taps}


def run(distiller, summary, size=4):
    torch.manual_seed(0)
    student = torch.randn(len(summary), 4, 8, 8, requires_grad=True)
    teacher = torch.randn(len(summary), 6, size, size)
    terms = distiller(
        dict(stages=[student]),
        read(distiller, dict(stages=[teacher], summary=[summary])),
        StepBatch())
    return terms, student


def test_the_newest_come_first_and_the_oldest_go():
    distiller = made(queue_size=3)
    rows = torch.eye(5)
    for part in (rows[:2], rows[2:4]):
        terms, _ = run(distiller, 7 * part)
        assert terms['global_'] > 0
    assert torch.equal(distiller.queue, rows[[2, 3, 0]])
    run(distiller.eval(), rows[4:])
    assert torch.equal(distiller.queue, rows[[2, 3, 0]])
    assert 'queue' in distiller.state_dict()


def test_a_map_is_averaged_to_a_summary():
    summary = torch.randn(2, 5)
    flat = run(made(), summary)[0]
    torch.manual_seed(1)
    first, second = made(), made((2, 5, 2, 2))
    second.load_state_dict(first.state_dict())
    flat = run(first, summary)[0]
    maps = run(second, summary[..., None, None].expand(2, 5, 2, 2))[0]
    assert flat['global_'].item() == pytest.approx(
        maps['global_'].item(), rel=1e-5)


def test_gradients():
    distiller = made(queue_size=4)
    terms, student = run(distiller, torch.randn(2, 5))
    sum(terms.values()).backward()
    assert student.grad.any()
    assert all(p.grad.any() for p in distiller.parameters())


def test_large_maps_are_averaged():
    distiller = made(max_tokens=20)
    assert distiller._fewer_cells(torch.rand(1, 2, 8, 8)).shape[2:] == (4, 4)
    assert distiller._fewer_cells(torch.rand(1, 2, 4, 5)).shape[2:] == (4, 5)


def test_length_of_the_queue_by_the_number_of_images():
    distiller = made()
    assert len(distiller.queue) == 8192
    for images, length in ((49, 16), (50, 32), (3999, 1024), (19999, 4096),
                           (20000, 8192), (17, 16)):
        distiller.before_training(iter(()), images)
        assert distiller.queue_size == length
    for _ in range(9):
        run(distiller, torch.randn(2, 5))
    assert distiller.queue.any(dim=1).tolist() == [True] * 16 + [False] * 8176
    with pytest.raises(ConfigError, match='queue of 16 .* have 16'):
        distiller.before_training(iter(()), 16)
    with pytest.raises(ConfigError, match='queue of 9 .* have 8'):
        made(queue_size=9).before_training(iter(()), 8)


def test_preset_of_lightly():
    summary = torch.eye(5)[:2]
    torch.manual_seed(1)
    first, second = made(queue_size=4), made(queue_size=4, preset='lightly_v1')
    second.load_state_dict(first.state_dict(), strict=False)
    assert not any('local' in key for key in second.state_dict())
    assert list(second.teacher_taps) == ['summary']
    found, theirs = run(first, summary)[0], run(second, summary)[0]
    assert list(theirs) == ['global_'] and set(found) == {'global_', 'local'}
    # The two empty rows are classes there.
    assert theirs['global_'] > found['global_'] > 0
    feats = dict(stages=[torch.rand(2, 4, 8, 8)])
    own, other = second.compared(feats, dict(summary=[summary]))
    assert own.shape == other.shape == (2, 5)


@pytest.mark.parametrize('options', [
    dict(queue_size=0),
    dict(tau=0.),
    dict(max_tokens=-1),
])
def test_wrong_options(options):
    with pytest.raises(ConfigError, match='are positive'):
        SimilarityKD(**options)
    with pytest.raises(ConfigError, match=r"'x' gives the shape \(2, 5, 6\)"):
        made((2, 5, 6))
