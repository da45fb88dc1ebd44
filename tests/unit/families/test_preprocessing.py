"""How networks want their batches, and which can share one."""
import torch

from mmkd.core.network import build_network
from mmkd.families import family_of
from mmkd.families.preprocessing import (ImageNorm, read_image_norm,
                                         read_settings)
from mmkd.testing import segmentor
from mmkd.testing.lidar import centerpoint


def test_image_norm():
    network = build_network(
        segmentor(
            mean=[103.53, 116.28, 123.675],
            std=[1.0, 2.0, 3.0],
            bgr_to_rgb=False), 'x')
    norm = family_of(network).image_norm(network)
    torch.testing.assert_close(norm.mean, (103.53, 116.28, 123.675))
    assert norm.std == (1., 2., 3.) and not norm.flip_channels
    assert read_image_norm(None) is None
    assert read_image_norm(torch.nn.Identity()) is None
    # It takes points too.
    network = build_network(centerpoint(), 'x')
    assert family_of(network).image_norm(network) is None


def test_convert():
    """Pixels that are normalised for one network, as another wants them."""
    pixels = torch.rand(1, 3, 6, 5) * 255
    source = ImageNorm((1., 2., 3.), (4., 5., 6.))
    target = ImageNorm((7., 8., 9.), (2., 3., 4.), True, 0.5, 4)

    def apply(norm):
        images = pixels.flip(1) if norm.flip_channels else pixels
        mean, std = (
            torch.tensor(x).view(1, 3, 1, 1) for x in (norm.mean, norm.std))
        return (images - mean) / std

    found = target.convert(apply(source), source, [(6, 4)])
    assert found.shape == (1, 3, 8, 8)
    torch.testing.assert_close(found[..., :6, :4], apply(target)[..., :4])
    assert (found[..., 6:, :] == 0.5).all() and (found[..., 4:] == 0.5).all()


def test_settings():
    first, second, third = (
        build_network(cfg, 'x').data_preprocessor
        for cfg in (segmentor(), segmentor(8, size=(8, 8)),
                    segmentor(bgr_to_rgb=False)))
    assert read_settings(first) == read_settings(second)
    assert read_settings(first) != read_settings(third)
    assert read_settings(None) == {} != read_settings(first)


def test_augmentation_can_be_stopped():
    network = build_network(segmentor(), 'x')
    family = family_of(network)
    assert not family.augments_batches(network)
    network.data_preprocessor.batch_augments = torch.nn.Identity()
    assert family.augments_batches(network)
    family.stop_augmenting(network)
    assert not family.augments_batches(network)
