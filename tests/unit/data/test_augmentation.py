import numpy as np
import pytest
import torch

from mmkd.data.augmentation import TorchVision, mixup_collate
from mmkd.errors import ConfigError


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def test_crops_have_the_size_and_come_again(image):
    crop = TorchVision('RandomResizedCrop', size=(16, 24), scale=(0.14, 1.0))
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        result = crop(dict(img=image, img_id=3))
        assert result['img'].shape == (16, 24, 3) and result['img_id'] == 3
        assert result['img_shape'] == (16, 24)
        assert result['img'].dtype == np.uint8
        found.append(result['img'])
    assert (found[0] == found[1]).all() and (found[0] != found[2]).any()


def test_the_order_of_the_channels(image):
    """Grey weighs red by 0.299 and blue by 0.114; the image is BGR."""
    image[...] = (200, 0, 0)
    grey = TorchVision('Grayscale', num_output_channels=3)(dict(img=image))
    assert abs(int(grey['img'][0, 0, 0]) - 0.114 * 200) <= 1
    same = TorchVision('Identity')(dict(img=image))['img']
    assert (same == image).all()


def test_mixup():
    images = [
        torch.full((3, 2, 2), value, dtype=torch.uint8) for value in (0, 200)
    ]
    samples = [dict(inputs=x, data_samples=i) for i, x in enumerate(images)]
    found = []
    for seed in range(6):
        torch.manual_seed(seed)
        batch = mixup_collate(samples)
        assert batch['data_samples'] == [0, 1]
        first, second = batch['inputs']
        assert first.dtype == torch.uint8 and len(first.unique()) == 1
        # One share for both.
        assert int(first[0, 0, 0]) + int(second[0, 0, 0]) in (199, 200, 201)
        found.append(int(first[0, 0, 0]))
    assert len(set(found)) > 2
    assert images[1].min() == 200


def test_errors():
    with pytest.raises(ConfigError, match='Did you mean RandomResizedCrop'):
        TorchVision('RandomResizeCrop')
    with pytest.raises(ConfigError, match='ColorJitter of torchvision'):
        TorchVision('ColorJitter', hue=2.)
