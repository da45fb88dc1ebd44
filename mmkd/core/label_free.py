"""Distillation without labels: what of a student trains then."""
import copy
import logging
from typing import Any, Dict, List, Mapping, Sequence

import torch
from mmengine.logging import print_log
from torch import nn

from mmkd.core.distiller import Distiller
from mmkd.core.step import TapPlan
from mmkd.core.taps.catcher import TapCatcher
from mmkd.core.taps.dry_run import Batch, DryRun, untouched
from mmkd.core.taps.tap import Tap
from mmkd.errors import ConfigError
from mmkd.utils.devices import on_device, training_device
from mmkd.utils.nested import clone
from mmkd.utils.rng import preserve_rng


def leave_out_labels(student: nn.Module, distillers: Mapping[str, Distiller],
                     plan: TapPlan, run: DryRun) -> None:
    """Prepare a student for a training without its task loss.

    Args:
        student (nn.Module): The student.
        distillers (Mapping[str, Distiller]): All distillers by name.
        plan (TapPlan): The taps.
        run (DryRun): Dry run of the student.

    Raises:
        ConfigError: If nothing would train.
    """
    freeze_unread(student, plan.student_taps(list(distillers)), plan.counts,
                  run.batch)


@torch.no_grad()
def held_out_losses(model: Any, data: dict) -> List[Dict[str, float]]:
    """Losses of the distillers on a batch of the validation.

    Args:
        model (DistillationModel): The model.
        data (dict): The batch of the data loader.

    Returns:
        list[dict[str, float]]: A single dict, of the values by name.
    """
    step = model.planner.now()
    batch = model.data_preprocessor.prepare(data, step.teachers)
    losses = model(**batch, mode='loss', step=step)
    return [{name: float(value) for name, value in losses.items()}]


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
        with catcher:
            probe(
                clone(batch['inputs']), batch.get('data_samples'), mode='loss')
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
