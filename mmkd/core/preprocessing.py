"""One batch, prepared for each network."""
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from mmkd.core.step import StepPlanner
from mmkd.core.teacher import Teacher
from mmkd.errors import ConfigError


@dataclass(frozen=True)
class ImageNorm:
    """Image normalisation and padding of a network.

    Attributes:
        mean (tuple[float]): Mean of each channel (pixels from 0 to 255), in
            the network's channel order.
        std (tuple[float]): Standard deviation of each channel.
        flip_channels (bool): Whether the loaded channel order is reversed.
        pad_value (float): Value of padded pixels, after normalisation.
        divisor (int): Height and width must be a multiple of it, in pixels.
    """
    mean: Tuple[float, ...]
    std: Tuple[float, ...]
    flip_channels: bool = False
    pad_value: float = 0.0
    divisor: int = 1

    @classmethod
    def of(cls, preprocessor: Optional[nn.Module]) -> Optional['ImageNorm']:
        """Extract it from an image preprocessor of mmengine, mmdet or mmseg.

        Returns:
            ImageNorm | None: None if the preprocessor is of another kind.
        """
        flip = getattr(preprocessor, 'channel_conversion',
                       getattr(preprocessor, '_channel_conversion', None))
        normalises = getattr(preprocessor, '_enable_normalize', None)
        if flip is None or normalises is None:
            return None
        if normalises:
            mean = tuple(preprocessor.mean.flatten().tolist())
            std = tuple(preprocessor.std.flatten().tolist())
        else:
            mean, std = (0.0, ), (1.0, )
        pad_value = getattr(preprocessor, 'pad_val',
                            getattr(preprocessor, 'pad_value', 0))
        divisor = getattr(preprocessor, 'size_divisor',
                          getattr(preprocessor, 'pad_size_divisor', 1))
        return cls(mean, std, bool(flip), float(pad_value), int(divisor or 1))

    def convert(self, images: Tensor, source: 'ImageNorm',
                sizes: List[Tuple[int, int]]) -> Tensor:
        """Renormalise images that were prepared for another network.

        The geometry, including every augmentation, does not change.

        Args:
            images (Tensor): Images of the other network, (N, C, H, W).
            source (ImageNorm): Normalisation of the other network.
            sizes (list[tuple[int, int]]): Height and width of the part of
                each image that is not padding.

        Returns:
            Tensor: (N, C, H', W'), padded right and below to the divisor.
        """

        def row(values: Tuple[float, ...]) -> Tensor:
            # float64, so that scale and shift are rounded only once.
            return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)

        mean_s, std_s = row(source.mean), row(source.std)
        if self.flip_channels != source.flip_channels:
            images, mean_s, std_s = (images.flip(1), mean_s.flip(1),
                                     std_s.flip(1))
        mean, std = row(self.mean), row(self.std)
        scale, shift = std_s / std, (mean_s - mean) / std
        images = torch.addcmul(shift.to(images), images, scale.to(images))
        height, width = images.shape[-2:]
        for image, (h, w) in zip(images, sizes):
            if h < height:
                image[:, h:] = self.pad_value
            if w < width:
                image[:, :, w:] = self.pad_value
        below, right = -height % self.divisor, -width % self.divisor
        if below or right:
            images = F.pad(images, (0, right, 0, below), value=self.pad_value)
        return images


def same_preprocessing(first: Optional[nn.Module],
                       second: Optional[nn.Module]) -> bool:
    """Whether two preprocessors produce the same result for a batch."""
    norm_1, norm_2 = ImageNorm.of(first), ImageNorm.of(second)
    if type(first) is not type(second):
        return norm_1 is not None and norm_1 == norm_2
    return _settings(first) == _settings(second)


def _settings(preprocessor: Optional[nn.Module]) -> Dict[str, str]:
    if preprocessor is None:
        return {}
    norm = ImageNorm.of(preprocessor)
    own = {
        name: repr(value)
        for name, value in vars(preprocessor).items()
        if not name.startswith('_') and name not in ('training', 'size',
                                                     'batch_augments',
                                                     'test_cfg')
    }
    parts = {
        name: _without_cap(part)
        for name, part in preprocessor.named_children()
    }
    return {**own, **parts, 'norm': repr(norm)}


def _without_cap(part: nn.Module) -> str:
    """Settings of a voxel layer of mmdet3d without the maximum of voxels.

    The maximum differs between training and evaluation, so a student and a
    teacher in eval mode would get different voxels for the same scan, and
    their rows would not correspond. The teacher therefore uses the student's
    voxels.
    """
    cap = getattr(part, 'max_voxels', None)
    return repr(part).replace(f', max_voxels={cap}', '')


class DistillationDataPreprocessor(BaseDataPreprocessor):
    """Prepare the batch of the data loader for student and teachers.

    The student's own preprocessor runs first, exactly as in plain training,
    including its random batch augmentations. A teacher with the same
    preprocessing shares the result; voxel layers that differ only in the
    maximum number of voxels count as the same. A teacher with other image
    statistics gets the student's batch renormalised, so both have the same
    geometry. Any other teacher (other inputs, other sensors) runs its own
    preprocessor on the batch of the data loader. Batches are prepared only
    for teachers that this iteration needs.

    Args:
        student (nn.Module): The student.
        teachers (dict[str, Teacher]): The teachers by name.
        planner (StepPlanner): Determines which teachers an iteration needs.
        writes_input (dict[str, bool]): Whether a network modifies its input,
            by name; the student's name is ``''``.
    """

    def __init__(self, student: nn.Module, teachers: Dict[str, Teacher],
                 planner: StepPlanner, writes_input: Dict[str, bool]) -> None:
        super().__init__()
        # Plain dicts, so that nothing is registered as a submodule.
        self._networks = {'': student}
        self._teachers = teachers
        self._planner = planner
        self.writes_input = writes_input
        self._how: Dict[str, str] = {}
        self._norms: Dict[str, Tuple[ImageNorm, ImageNorm]] = {}

    @property
    def _own(self) -> Optional[nn.Module]:
        """The student's own preprocessor."""
        return getattr(self._networks[''], 'data_preprocessor', None)

    def how(self, name: str) -> str:
        """``'shared'``, ``'renormalised'`` or ``'own'``, for a teacher.

        Raises:
            ConfigError: If a random batch augmentation of the student cannot
                be applied to this teacher's batch.
        """
        if name not in self._how:  # computed once, since it reads from devices
            self._how[name] = self._find_how(name)
        return self._how[name]

    def _find_how(self, name: str) -> str:
        teacher, own = self._teachers[name], self._own
        if not teacher.input_map and same_preprocessing(
                own, teacher.preprocessor):
            return 'shared'
        norms = ImageNorm.of(teacher.preprocessor), ImageNorm.of(own)
        # mmdet3d's voxel-based networks have several inputs in a dict.
        if all(norms) and not teacher.input_map and not any(
                hasattr(p, 'voxel') for p in (own, teacher.preprocessor)):
            self._norms[name] = norms
            return 'shared' if norms[0] == norms[1] else 'renormalised'
        if getattr(own, 'batch_augments', None):
            raise ConfigError(
                f'teacher {name!r} has its own preprocessing, which would '
                "not see the random batch augmentation of the student's; "
                'remove `batch_augments` from the student')
        return 'own'

    def forward(self, data: dict, training: bool = False) -> Any:
        """Prepare a batch.

        Args:
            data (dict): The batch of the data loader.
            training (bool): Whether the batch is for training. Otherwise,
                only the student's own preprocessor runs.

        Returns:
            dict: The result of the student's preprocessor and, in training,
            ``teacher_batches``: a dict of ``inputs`` and ``data_samples``
            for each active teacher, and ``step``: the :class:`Step` of the
            batch.
        """
        if not training:
            return self._own(data, False)
        step = self._planner.now()
        return dict(self.prepare(data, step.teachers), step=step)

    def prepare(self, data: dict, teachers: Sequence[str]) -> Any:
        """Prepare a training batch for the student and some teachers."""
        batch = self._own(data, True)
        if not teachers:
            return batch
        teacher_batches = {
            name: self._prepare(name, self._teachers[name], data, batch)
            for name in teachers
        }
        return dict(batch, teacher_batches=teacher_batches)

    def _prepare(self, name: str, teacher: Teacher, data: dict,
                 batch: dict) -> Dict[str, Any]:
        how = self.how(name)
        inputs, data_samples = batch['inputs'], batch.get('data_samples')
        if how == 'own':
            prepared = teacher.preprocessor(teacher.own_data(data), True)
            return dict(
                inputs=prepared['inputs'],
                data_samples=prepared.get('data_samples'))
        if how == 'renormalised':
            full = tuple(inputs.shape[-2:])
            sizes = [
                tuple(sample.metainfo.get('img_shape', full)[:2])
                for sample in data_samples or []
            ]
            norm, source = self._norms[name]
            inputs = norm.convert(inputs, source, sizes)
        elif self.writes_input.get('') or self.writes_input.get(name):
            inputs = _clone(inputs)
        return dict(inputs=inputs, data_samples=data_samples)


def _clone(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _clone(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_clone(item) for item in value)
    return value
