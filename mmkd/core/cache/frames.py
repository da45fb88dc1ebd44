"""The inputs of a batch, one sample at a time."""
from typing import Any, List, NamedTuple, Optional, Tuple

from mmengine.structures import BaseDataElement
from torch import Tensor

from mmkd.core.cache.keys import content_key
from mmkd.families.base import image_meta
from mmkd.families.preprocessing import ImageNorm

_RAW = ImageNorm((0., ), (1., ))


class Frames(NamedTuple):
    """Inputs of a teacher with a cache, as the data loader gives them.

    Attributes:
        keys (list[bytes]): Key of each sample.
        samples (list[dict]): ``inputs`` and ``data_samples`` of each. The
            inputs of an image teacher are an image (C, H, W); those of
            another are what its preprocessor takes for a batch of one.
        size (tuple[int, int], optional): Height and width in pixels of the
            whole batch, for an image teacher.
    """
    keys: List[bytes]
    samples: List[dict]
    size: Optional[Tuple[int, int]] = None


def image_frames(data: dict, size: Optional[Tuple[int, int]]) -> Frames:
    """Split a batch of images; an image alone is its key.

    Args:
        data (dict): The batch of the data loader.
        size (tuple[int, int], optional): See :class:`Frames`.
    """
    images = list(data['inputs'])
    return Frames([content_key(image) for image in images], [
        dict(inputs=image, data_samples=sample)
        for image, sample in zip(images, _samples(data, len(images)))
    ], size)


def other_frames(data: dict) -> Frames:
    """Split a batch of scans or of several sensors; all inputs and all
    numbers of the meta information, such as projections, are the key.

    Args:
        data (dict): The batch of the data loader.
    """
    inputs = data['inputs']
    first = next(iter(inputs.values())) if isinstance(inputs, dict) else inputs
    samples = [
        dict(inputs=_one(inputs, i), data_samples=sample)
        for i, sample in enumerate(_samples(data, len(first)))
    ]
    return Frames([
        content_key(sample['inputs'],
                    getattr(sample['data_samples'], 'metainfo', {}))
        for sample in samples
    ], samples)


def prepared_image(sample: dict, norm: ImageNorm, device: Any) -> dict:
    """Normalise an image and pad it to the teacher's divisor.

    The meta information depends on the size alone, so that the result follows
    from the pixels.

    Args:
        sample (dict): One of :func:`image_frames`.
        norm (ImageNorm): The teacher's normalisation.
        device (torch.device): The teacher's device.
    """
    image: Tensor = sample['inputs']
    size = (image.shape[-2], image.shape[-1])
    images = norm.convert(image.to(device)[None].float(), _RAW, [])
    padded = (images.shape[-2], images.shape[-1])
    found = without_truth(sample['data_samples'])
    for each in found or []:
        each.set_metainfo(
            dict(image_meta(size), pad_shape=padded, batch_input_shape=padded))
    return dict(inputs=images, data_samples=found)


def without_truth(
        sample: Optional[BaseDataElement]) -> Optional[List[BaseDataElement]]:
    """A list of one data sample that has meta information alone."""
    if sample is None:
        return None
    return [type(sample)(metainfo=sample.metainfo)]


def _samples(data: dict, count: int) -> list:
    return data.get('data_samples') or [None] * count


def _one(value: Any, index: int) -> Any:
    """A batch of one sample."""
    if isinstance(value, dict):
        return {key: _one(item, index) for key, item in value.items()}
    if isinstance(value, (list, tuple, Tensor)):
        return value[index:index + 1]
    return value


def batch_size_of(inputs: Any) -> Optional[Tuple[int, int]]:
    """Height and width of prepared images; None for other inputs."""
    if isinstance(inputs, Tensor) and inputs.dim() == 4:
        return inputs.shape[-2], inputs.shape[-1]
    return None
