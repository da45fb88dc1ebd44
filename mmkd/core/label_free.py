"""Distillation without labels: what of a student trains then."""
import copy
import logging
from typing import Any, Dict, List, Mapping, Sequence

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmkd.core.distiller import Distiller
from mmkd.core.distilling import distil
from mmkd.core.mixed import images_by_kind, pick_images
from mmkd.core.step import Tensors
from mmkd.core.taps.catcher import TapCatcher
from mmkd.core.taps.dry_run import Batch, DryRun, untouched
from mmkd.core.taps.tap import Tap
from mmkd.core.teacher import label_reader
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.registry import DISTILLERS
from mmkd.utils.devices import on_device, training_device
from mmkd.utils.nested import clone
from mmkd.utils.rng import preserve_rng


def prepare_student(model: Any, run: DryRun) -> None:
    """Prepare the student of a model for images without labels.

    Args:
        model (DistillationModel): The model. If it is ``label_free``, what no
            tap depends on is frozen.
        run (DryRun): Dry run of the student.

    Raises:
        ConfigError: If a method or a teacher needs labels; if the student
            cannot reach its last tap without them, or would not train; or if
            labelled images are augmented as batches.
    """
    distillers: Mapping[str, Distiller] = dict(model.distillers.items())
    student, plan = model.student, model.taps
    for name, distiller in distillers.items():
        if distiller.needs_labels:
            others = sorted(other
                            for other, cls in DISTILLERS.module_dict.items()
                            if not cls.needs_labels)
            raise ConfigError(
                f'distiller {name!r}: {type(distiller).__name__} needs labels '
                'with these options. Methods that need none: '
                f'{", ".join(others)}')
    for name, teacher in model.teachers.items():
        reader = label_reader(teacher)
        if reader:
            raise ConfigError(
                f'teacher {name!r}: {reader} reads the ground truth, which '
                'unlabelled images lack; choose another teacher, or '
                "mode='tensor'")
    batch = without_truth(run.batch)
    taps = plan.student_taps(list(distillers))
    if model.label_free:
        freeze_unread(student, taps, plan.counts, batch)
        # Padding to the crop of the student's own training would multiply
        # the cost of a step, and put zeros into the statistics of
        # normalisation layers.
        family_of(student).keep_sizes(student)
        return
    if model.unlabelled_norm not in ('update', 'frozen'):
        raise ConfigError("unlabelled_norm is 'update' or 'frozen', not "
                          f'{model.unlabelled_norm!r}')
    if family_of(student).augments_batches(student):
        raise ConfigError(
            'the random batch augmentation of the student may need labels; '
            'set batch_augments=None in its `data_preprocessor` to train with '
            'unlabelled images')
    probe = copy.deepcopy(student)
    with preserve_rng(), on_device(probe, training_device()), untouched(
            probe, True), torch.no_grad():
        _to_last_tap(probe, TapCatcher(probe, taps, 'the student',
                                       plan.counts), batch)


def without_truth(batch: Batch) -> Batch:
    """A batch whose data samples have meta information only."""
    samples = batch.get('data_samples')
    return dict(
        batch,
        data_samples=samples
        and [type(x)(metainfo=x.metainfo) for x in samples])


def _to_last_tap(probe: nn.Module, catcher: TapCatcher, batch: Batch) -> None:
    """Run a student as far as its last tap.

    Raises:
        ConfigError: If it fails before.
    """
    try:
        with catcher:
            probe(
                clone(batch['inputs']), batch.get('data_samples'), mode='loss')
    except Exception as error:
        raise ConfigError(
            'without labels, the student cannot run as far as its last tap '
            f'({type(error).__name__}: {str(error)[:120]}); tap modules '
            'before what reads labels, such as the backbone') from error


@torch.no_grad()
def held_out(model: Any, data: dict) -> List[Dict[str, Any]]:
    """What a validation without labels measures on a batch.

    Args:
        model (DistillationModel): The model.
        data (dict): The batch of the data loader; the meta information of
            images for a probe has their ``label``.

    Returns:
        list[dict]: For each image, the ``losses`` of its batch by name; its
        ``label``, or None; and its ``embeddings`` by distiller: that of the
        student, that of the teacher and, if the method can tell, the
        student's as it is compared with the teacher's, and that.
    """
    # Results lie where their images do: mmengine cuts off the last ones, with
    # which several processes fill up the data set.
    found: Dict[int, Dict[str, Any]] = {}
    for indices in images_by_kind(data):
        part = pick_images(data, indices)
        step = model.planner.now()
        _, tensors, batch = model.run_networks(
            step, model.prepare_batch(part, step.teachers))
        losses = distil(model.distillers, step, [(tensors, batch)],
                        next(model.student.parameters()).device)
        numbers = {name: float(value) for name, value in losses.items()}
        embeddings = {
            name: _embeddings(model.distillers[name], *tensors[name])
            for name in step.weights
        }
        for i, (index,
                sample) in enumerate(zip(indices, part['data_samples'])):
            found[index] = dict(
                losses=numbers,
                label=sample.metainfo.get('label'),
                embeddings={
                    name: [rows[i] for rows in values]
                    for name, values in embeddings.items()
                })
    return [found[index] for index in sorted(found)]


def _embeddings(distiller: Any, student: Tensors,
                teacher: Tensors) -> List[np.ndarray]:
    """See :func:`held_out`; each is (N, D)."""
    own = _pooled(next(iter(student.values()))[-1])
    theirs = _pooled(teacher.get('summary', next(iter(teacher.values())))[-1])
    compared: List[Tensor] = []
    if hasattr(distiller, 'compared'):
        compared = [_pooled(x) for x in distiller.compared(student, teacher)]
    elif own.shape == theirs.shape:
        compared = [own, theirs]
    return [x.cpu().numpy() for x in (own, theirs, *compared)]


def _pooled(value: Tensor) -> Tensor:
    """Means over the cells of maps (N, C, H, W) or over tokens (N, L, C)."""
    cells = {4: (2, 3), 3: (1, )}.get(value.dim())
    return (value if cells is None else value.mean(cells)).float()


def freeze_unread(student: nn.Module, taps: Sequence[Tap],
                  counts: Dict[Tap, int], batch: Batch) -> List[str]:
    """Freeze the parameters that no tap depends on, such as those of a head.

    They would get no gradient, but weight decay, and several processes would
    wait for them. Parts that are frozen by the student's config, which is
    right for trained weights only, are warned of.

    Args:
        student (nn.Module): The student; a copy of it runs.
        taps (Sequence[Tap]): Its taps.
        counts (dict[Tap, int]): Number of times each tap fires.
        batch (dict): The batch of its dry run.

    Returns:
        list[str]: Names of the frozen parameters.

    Raises:
        ConfigError: If no parameter that trains reaches a tap.
    """
    probe = copy.deepcopy(student)
    catcher = TapCatcher(probe, taps, 'the student', counts)
    with preserve_rng(), on_device(probe, training_device()), untouched(
            probe, True), torch.enable_grad():
        _to_last_tap(probe, catcher, batch)
        found = [
            tensor.float().sum() for levels in catcher.take().values()
            for tensor in levels if tensor.requires_grad
        ]
        if not found:
            raise ConfigError(
                'without labels, the student would not train: no parameter '
                'that trains reaches a tap; look at `frozen_stages` of its '
                'backbone, or tap a later module')
        torch.stack(found).sum().backward()
        read = {
            name
            for name, parameter in probe.named_parameters()
            if parameter.grad is not None
        }
    frozen = []
    for name, parameter in student.named_parameters():
        if parameter.requires_grad and name not in read:
            parameter.requires_grad_(False)
            frozen.append(name)
    _say(student, frozen)
    return frozen


def _say(student: nn.Module, frozen: List[str]) -> None:
    parts = sorted({name.split('.')[0] for name in frozen})
    if parts:
        print_log(
            f'without labels, {len(frozen)} parameters of {", ".join(parts)} '
            'stay as they are, since no tap depends on them', 'current')
    for name, module in student.named_modules():
        reasons = []
        if getattr(module, 'frozen_stages', -1) >= 0:
            reasons.append(f'frozen_stages={module.frozen_stages}')
        if getattr(module, 'norm_eval', False) is True:
            reasons.append('norm_eval=True')
        if reasons:
            print_log(
                f'the student has {" and ".join(reasons)} in {name!r}, which '
                'keeps parts of it from learning; set frozen_stages=-1 and '
                'norm_eval=False unless it starts from trained weights',
                'current', logging.WARNING)
