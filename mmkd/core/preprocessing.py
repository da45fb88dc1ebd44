"""One batch, prepared for each network."""
from typing import Any, Dict, Optional, Sequence, Tuple

from mmengine.model import BaseDataPreprocessor
from torch import nn

from mmkd.core.batch import RawBatch
from mmkd.core.mixed import split_unlabelled
from mmkd.core.step import StepPlanner
from mmkd.core.teacher import Teacher
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.families.preprocessing import ImageNorm
from mmkd.utils.nested import clone


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
        # Not as a module, which would register it as a part of this one.
        object.__setattr__(self, '_student', student)
        self._teachers = teachers
        self._planner = planner
        self.writes_input = writes_input
        self._how: Dict[str, str] = {}
        self._norms: Dict[str, Tuple[ImageNorm, ImageNorm]] = {}

    @property
    def _own(self) -> Any:
        """The student's own preprocessor."""
        return family_of(self._student).preprocessor(self._student)

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
        teacher = self._teachers[name]
        networks = self._student, teacher.network
        families = [family_of(network) for network in networks]
        if not teacher.input_map:
            settings = [
                family.preprocessing(network)
                for family, network in zip(families, networks)
            ]
            if settings[0] == settings[1]:
                return 'shared'
            own, theirs = (family.image_norm(network)
                           for family, network in zip(families, networks))
            if own is not None and theirs is not None:
                self._norms[name] = theirs, own
                return 'shared' if own == theirs else 'renormalised'
        if families[0].augments_batches(self._student):
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
            for each active teacher; ``step``: the :class:`Step` of the
            batch; ``raw``: the :class:`RawBatch`; and ``unlabelled``: the
            unlabelled part, prepared by itself, if a distiller is active.
        """
        if not training:
            return self._own(data, False)
        step = self._planner.now()
        data, unlabelled = split_unlabelled(data)
        batch = dict(self.prepare(data, step.teachers, True), step=step)
        if unlabelled is not None and step.weights:
            # Not cached, since their crops do not recur.
            batch['unlabelled'] = self.prepare(unlabelled, step.teachers)
        return batch

    def prepare(self,
                data: dict,
                teachers: Sequence[str],
                cached: bool = False) -> Any:
        """Prepare a training batch for the student and some teachers.

        Args:
            data (dict): The batch of the data loader.
            teachers (Sequence[str]): The teachers.
            cached (bool): Whether those that have a cache get
                :class:`~mmkd.core.cache.frames.Frames`. Defaults to False.
        """
        batch = self._own(data, True)
        if not teachers:
            return batch
        teacher_batches = {
            name: self._prepare(name, self._teachers[name], data, batch,
                                cached)
            for name in teachers
        }
        return dict(
            batch, teacher_batches=teacher_batches, raw=self._raw(data))

    def _raw(self, data: dict) -> Optional[RawBatch]:
        """The batch on the host, if the student sees its ground truth."""
        family = family_of(self._student)
        if family.augments_batches(self._student):
            return None
        return RawBatch(data['inputs'], data.get('data_samples'),
                        family.label_padding(self._student))

    def _prepare(self, name: str, teacher: Teacher, data: dict, batch: dict,
                 cached: bool) -> Dict[str, Any]:
        how = self.how(name)
        inputs, data_samples = batch['inputs'], batch.get('data_samples')
        if cached and teacher.cache is not None:
            return dict(
                inputs=teacher.cache.frames(data, inputs), data_samples=None)
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
            inputs = clone(inputs)
        return dict(inputs=inputs, data_samples=data_samples)
