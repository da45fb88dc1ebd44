"""The model that a runner trains: student, teachers and distillers."""
import functools
from contextlib import nullcontext
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmkd.core.batch import RawBatch, StepBatch
from mmkd.core.building import (build_distiller, build_teacher, plan_taps,
                                set_up_distillers)
from mmkd.core.cache.opening import open_caches
from mmkd.core.compiling import compile_student
from mmkd.core.distiller import Distiller
from mmkd.core.distilling import distil
from mmkd.core.heads import head_makers, recorded_head
from mmkd.core.label_free import held_out, prepare_student
from mmkd.core.layout import in_layout
from mmkd.core.mixed import run_parts
from mmkd.core.network import NetworkLike, build_network
from mmkd.core.preprocessing import DistillationDataPreprocessor
from mmkd.core.reading import read_taps
from mmkd.core.speed import speed_up, student_in_channels_last
from mmkd.core.state_keys import prefix_student, unprefix_student
from mmkd.core.step import Step, StepPlanner, Tensors
from mmkd.core.summary import summary_table
from mmkd.core.taps.catcher import TapCatcher
from mmkd.core.taps.dry_run import DryRun
from mmkd.core.teacher import Teacher
from mmkd.errors import ConfigError
from mmkd.registry import MODELS
from mmkd.utils.rng import preserve_rng


@MODELS.register_module()
class DistillationModel(BaseModel):
    """A student, its frozen teachers, and the distillers.

    For a runner, it is an ordinary model. A step consists of the student's
    forward pass in ``loss`` mode with its taps open, a forward pass of each
    needed teacher up to its last tap, and the losses of each distiller.
    ``student.*`` and ``<distiller>.*`` go through ``parse_losses``.
    Validation and testing run only the student.

    A checkpoint holds the student under its own key names and the
    distillers' modules under ``distill.``, but not the teachers.

    Args:
        student (str | dict | Config | nn.Module): The student:
            ``'pkg::path'``, a config file, a config or model dict, or a
            built network.
        teachers (dict[str, dict | Teacher]): Arguments of :class:`Teacher`
            by name.
        distillers (dict[str, dict | Distiller]): The methods, by the names
            of their losses in the log.
        dry_run_size (tuple[int, int]): Height and width in pixels of the
            synthetic image for the dry run. Defaults to (128, 128).
        dry_run_batch (dict, optional): A batch of the data loader to use
            instead of the synthetic one. Defaults to None.
        data_preprocessor (dict, optional): The student's preprocessor, if
            the config has it outside the model. Defaults to None.
        channels_last (bool): Whether the student's 2D convolutions train in
            this memory format, which is faster and rounds differently.
            Defaults to False.
        compile_backbone (bool | str): Whether to compile the student's
            backbone with ``torch.compile``, or the backend to use. Defaults
            to False.
        label_free (bool): Whether to train without labels: the student runs
            up to its last tap, and what no tap reads is frozen. Defaults to
            False.
        unlabelled_norm (str, optional): Whether unlabelled images of a batch
            ``'update'`` the statistics of batch normalisations, or meet
            ``'frozen'`` ones. Defaults to None: no batch has any.

    Raises:
        ConfigError: If a part has a wrong name or does not match another.
        CheckpointError: If a teacher's weights cannot be used.
        TapError: If a tap does not fire in the dry run.
    """

    def __init__(self,
                 student: NetworkLike,
                 teachers: Dict[str, Union[dict, Teacher]],
                 distillers: Dict[str, Union[dict, Distiller]],
                 dry_run_size: Tuple[int, int] = (128, 128),
                 dry_run_batch: Optional[dict] = None,
                 data_preprocessor: Optional[dict] = None,
                 channels_last: bool = False,
                 compile_backbone: Union[bool, str] = False,
                 label_free: bool = False,
                 unlabelled_norm: Optional[str] = None) -> None:
        _check_parts(teachers=teachers, distillers=distillers)
        _check_size(dry_run_size)
        if data_preprocessor is not None and isinstance(student, dict):
            student = dict(student)
            student.setdefault('data_preprocessor', data_preprocessor)
        # First, so that it draws the random numbers of plain training.
        network = build_network(student, 'the student')
        with preserve_rng():
            super().__init__()
            self.student: BaseModel = network
            self.teachers: Dict[str, Teacher] = {
                name: build_teacher(name, teacher)
                for name, teacher in teachers.items()
            }
            methods = {
                name: build_distiller(name, distiller, self.student,
                                      self.teachers)
                for name, distiller in distillers.items()
            }
            self.distillers: Any = nn.ModuleDict(methods)
            self.taps, runs = plan_taps(methods, self.student, self.teachers,
                                        (dry_run_size[0], dry_run_size[1]),
                                        dry_run_batch)
            set_up_distillers(methods, self.taps, self.student, self.teachers,
                              label_free)
            _speed_up(self, runs, channels_last, compile_backbone)
            open_caches(methods, self.student, self.teachers, self.taps, runs)
            self.label_free, self.unlabelled_norm = label_free, unlabelled_norm
            if label_free or unlabelled_norm:
                prepare_student(self, runs[''])
        self.planner = StepPlanner(
            methods, {
                teacher: [
                    name for name in methods
                    if self.taps.teacher_taps(teacher, [name])
                ]
                for teacher in self.teachers
            })
        self.data_preprocessor: Any = DistillationDataPreprocessor(
            self.student, self.teachers, self.planner, {
                name: run.writes_input
                for name, run in runs.items()
            })
        for name in self.teachers:
            self.data_preprocessor.how(name)
        self._register_state_dict_hook(unprefix_student)
        if methods:
            print_log(f'distillation:\n{self.summary()}', 'current')

    # ------------------------------------------------------------- one step

    def prepare_batch(self, data: dict, teachers: Sequence[str] = ()) -> dict:
        """Prepare a batch of the data loader, as in a training step.

        Args:
            data (dict): The batch of the data loader.
            teachers (Sequence[str]): The teachers to prepare it for.
                Defaults to ().

        Returns:
            dict: Arguments of :meth:`forward` in ``loss`` mode.
        """
        return self.data_preprocessor.prepare(data, teachers)

    def forward(
        self,
        inputs: Union[Tensor, dict],
        data_samples: Optional[list] = None,
        mode: str = 'tensor',
        teacher_batches: Optional[Dict[str, dict]] = None,
        step: Optional[Step] = None,
        raw: Optional[RawBatch] = None,
        unlabelled: Optional[dict] = None
    ) -> Union[Dict[str, Tensor], list, Tensor, tuple]:
        """Compute the losses of a training step, or call the student.

        Args:
            inputs (Tensor | dict): The student's inputs, (N, C, H, W) for
                images.
            data_samples (list, optional): Its data samples.
            mode (str): ``'loss'``; other modes run only the student. Defaults
                to ``'tensor'``.
            teacher_batches (dict[str, dict], optional): ``inputs`` and
                ``data_samples`` of each needed teacher; other teachers get
                those of the student. Defaults to None.
            step (Step, optional): The step of the batch. Defaults to None:
                the runner's current iteration.
            raw (RawBatch, optional): What the batch was prepared from.
                Defaults to None: methods read it from the device.
            unlabelled (dict, optional): The same of images without labels.
                Defaults to None.

        Returns:
            dict[str, Tensor]: In ``loss`` mode, the losses by name.
        """
        if mode != 'loss':
            return self.student(inputs, data_samples, mode=mode)
        step = step or self.planner.now()
        losses, parts = run_parts(
            self, step,
            dict(
                inputs=inputs,
                data_samples=data_samples,
                raw=raw,
                teacher_batches=teacher_batches), unlabelled)
        losses = {f'student.{k}': v for k, v in losses.items()}
        device = next(self.student.parameters()).device
        losses.update(distil(self.distillers, step, parts, device))
        return losses

    def run_networks(
        self,
        step: Step,
        batch: dict,
        end_early: bool = False
    ) -> Tuple[Dict[str, Tensor], Dict[str, Tuple[Tensors, Tensors]],
               StepBatch]:
        """Run the student and the teachers of a step, and read their taps.

        Args:
            step (Step): The active distillers and teachers.
            batch (dict): Result of :meth:`prepare_batch` for its teachers;
                a teacher without a batch gets the student's.
            end_early (bool): Whether the student's forward pass stops after
                its last tap, without losses. Defaults to False.

        Returns:
            tuple: Losses of the student by name; the student's and the
            teachers' tensors by role, for each active distiller by name; and
            the :class:`StepBatch`.
        """
        inputs, samples = batch['inputs'], batch.get('data_samples')
        shared = dict(inputs=inputs, data_samples=samples)
        if self.channels_last:
            inputs = in_layout(inputs, torch.channels_last)
        end_early = end_early or self.label_free
        active = list(step.weights)
        home = next(self.student.parameters()).device
        catcher = TapCatcher(self.student, self.taps.student_taps(active),
                             'the student',
                             self.taps.counts if end_early else None)
        own = batch.get('teacher_batches') or {}
        batches = {name: own.get(name, shared) for name in step.teachers}
        read = functools.partial(read_taps, self.teachers, self.taps, active)
        # A teacher on a device of its own computes while the student does,
        # if it is started before, and its results are copied afterwards.
        theirs = read(batches, elsewhere=True)
        losses: Dict[str, Tensor] = {}  # stays if the forward pass ends early
        head = recorded_head(self.student,
                             [self.distillers[name] for name in active])
        with catcher, head.recording() if head else nullcontext():
            losses = self.student(inputs, samples, mode='loss')
        caught = catcher.take()
        theirs.update(read(batches, elsewhere=False))
        for tap, levels in theirs.items():
            caught[tap] = [level.to(home) for level in levels]
        given = {name: own['inputs'] for name, own in batches.items()}
        step_batch = StepBatch(
            inputs,
            samples,
            step.progress,
            teacher_inputs=given,
            **head_makers(self.student, self.teachers, head),
            task_losses=losses,
            raw=batch.get('raw'))
        tensors = {name: self.taps.tensors_of(name, caught) for name in active}
        return losses, tensors, step_batch

    @torch.no_grad()
    def observe(
            self, batch: dict
    ) -> Tuple[Dict[str, Tuple[Tensors, Tensors]], StepBatch]:
        """Read the taps of all distillers, without computing a loss.

        The networks stop after their last tap. The student may update its
        statistics, so use a copy (:func:`mmkd.visualization.frozen_copy`).

        Args:
            batch (dict): Result of :meth:`prepare_batch` for all teachers.

        Returns:
            tuple: Student's and teachers' tensors by role, for each
            distiller by name, and the :class:`StepBatch`.
        """
        return self.run_networks(
            self.planner.watching(), batch, end_early=True)[1:]

    def val_step(self, data: dict) -> list:
        """Predictions of the student; without labels, measures."""
        return held_out(
            self, data) if self.label_free else self.student.val_step(data)

    def test_step(self, data: dict) -> list:
        """Predictions of the student alone."""
        return self.student.test_step(data)

    # ------------------------------------------- what it is to a runner

    def init_weights(self) -> None:
        """Initialise the student as in plain training, then the connectors.
        """
        self.student.init_weights()
        with preserve_rng():
            for distiller in self.distillers.values():
                distiller.init_weights()
        self._is_init = True

    def __getattr__(self, name: str) -> Any:
        """Forward attributes that hooks expect of a model to the student."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            student = self.__dict__.get('_modules', {}).get('student')
            if student is None or name.startswith('__'):
                raise
            return getattr(student, name)

    def _apply(self, fn, recurse: bool = True) -> 'DistillationModel':
        super()._apply(fn, recurse)
        for teacher in self.teachers.values():
            if teacher.device is None:
                teacher.network._apply(fn, recurse)
        return self

    def _set_device(self, device: torch.device) -> None:
        super()._set_device(device)
        for teacher in self.teachers.values():
            preprocessor = teacher.preprocessor
            if preprocessor is not None:
                preprocessor.to(device)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args:
                              Any) -> None:
        """Load keys as in a checkpoint, with those of the student
        unprefixed."""
        prefix_student(self.student, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def summary(self) -> str:
        """Table of taps, shapes, connectors and weights."""
        return summary_table(self.distillers, self.taps)


def _speed_up(model: DistillationModel, runs: Dict[str, DryRun],
              channels_last: bool, compile_backbone: Union[bool, str]) -> None:
    """Apply the options that make teachers and student faster."""
    plan, names = model.taps, list(model.distillers)
    for name, teacher in model.teachers.items():
        taps = plan.teacher_taps(name, names)
        speed_up(teacher, {tap: plan.specs[tap]
                           for tap in taps}, plan.counts, runs[name].batch)
    taps = plan.student_taps(names)
    model.channels_last = channels_last and student_in_channels_last(
        model.student, taps, plan.counts, runs[''].batch)
    model.compiled = compile_student(model.student, taps, compile_backbone)


def _check_parts(**parts: Any) -> None:
    """Check that teachers and distillers are dicts with names."""
    for what, named in parts.items():
        if not isinstance(named, dict):
            raise ConfigError(f'`{what}` is a dict from names to '
                              f'{what}, but got {type(named).__name__}')
        for name in named:
            _check_name(name, what)


def _check_size(size: Any) -> None:
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(
            isinstance(x, int) and x > 0 for x in size):
        raise ConfigError('`dry_run_size` is height and width in pixels, '
                          f'not {size!r}')


def _check_name(name: str, what: str) -> None:
    """Check a name for use in taps, checkpoint keys and the log."""
    taken = ('student', *dir(nn.ModuleDict))
    if not isinstance(name, str) or not name.isidentifier() or name in taken:
        raise ConfigError(f'{name!r} cannot be a name in `{what}`; take '
                          'letters, digits and underscores'
                          f'{", and no taken name" if name in taken else ""}')
