import pytest
import torch

from mmkd.methods.lad.noise import SCALE, class_code, noisy_labels

LABELS = torch.tensor([[[0, 1, 1], [2, 255, 7]], [[1, 1, 1], [1, 1, 1]]])


def made(labels=LABELS, seed=0, **kwargs):
    return noisy_labels(
        labels, 3, generator=torch.Generator().manual_seed(seed), **kwargs)


@pytest.mark.parametrize('code', ['random', 'fixed'])
def test_a_class_has_one_value(code):
    before = LABELS.clone()
    channel = made(code=code, pixel_std=0)
    assert channel.shape == (2, 1, 2, 3) and channel.dtype == torch.float32
    first = channel[0, 0]
    assert first[0, 1] == first[0, 2]
    # Ignored pixels, and labels of no class, share one more value.
    assert first[1, 1] == first[1, 2]
    assert len(first.unique()) == 4 and len(channel[1].unique()) == 1
    assert LABELS.equal(before)


def test_random_code():
    first, second = made(), made(seed=1)
    assert made().equal(first) and not second.equal(first)
    plain = made(pixel_std=0)
    # A value says nothing about the class in another image.
    assert plain[0, 0, 0, 1] != plain[1, 0, 0, 0]
    values = class_code(22, torch.zeros(3000))
    assert values.mean().abs() < 0.02 and (values.std() - 1).abs() < 0.02


def test_fixed_code():
    # As released for the 21 classes of Pascal VOC.
    values = class_code(22, torch.zeros(2), 'fixed')
    torch.testing.assert_close(values[0], (torch.arange(22) - 11) / 10)
    assert values[1].equal(values[0])
    assert made(
        code='fixed',
        pixel_std=0).equal(made(code='fixed', pixel_std=0, seed=1))


@pytest.mark.parametrize('code, std', [('random', 0.03), ('fixed', 0.02)])
def test_noise_of_pixels(code, std):
    labels = torch.zeros(1, 200, 200, dtype=torch.long)
    assert made(
        labels, code=code).std().item() == pytest.approx(
            std * SCALE, rel=0.02)
    assert made(
        labels, code=code, scale=100).std().item() == pytest.approx(
            std * 100, rel=0.02)


def test_scale():
    assert SCALE == pytest.approx(1.735, abs=1e-3)
