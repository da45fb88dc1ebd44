"""Reading the taps of teachers."""
from typing import Any, Dict, List

import torch
from torch import Tensor

from mmkd.core.cache.frames import Frames
from mmkd.core.step import TapPlan, Tensors
from mmkd.core.taps.tap import Tap
from mmkd.core.teacher import Teacher


def read_taps(teachers: Dict[str, Teacher], plan: TapPlan, active: List[str],
              batches: Dict[str, dict], elsewhere: bool) -> Dict[Tap, list]:
    """Tensors of the taps of the teachers that have a device of their own,
    or of the others."""
    found: Dict[Tap, list] = {}
    for name, batch in batches.items():
        teacher, inputs = teachers[name], batch['inputs']
        taps = plan.teacher_taps(name, active)
        if (teacher.device is not None) != elsewhere:
            continue
        found.update(
            teacher.cache.extract(inputs, taps) if isinstance(inputs, Frames
                                                              ) else teacher.
            extract(inputs, batch['data_samples'], taps, plan.counts))
    return found


@torch.no_grad()
def teacher_tensors(model: Any, name: str, data: dict) -> Tensors:
    """The tensors that a distiller reads in its teachers.

    Args:
        model (DistillationModel): The model; its preprocessors may update
            their state.
        name (str): Name of the distiller.
        data (dict): A batch of the data loader, labelled or unlabelled.

    Returns:
        dict[str, list[Tensor]]: By role, one per level.
    """
    roles = model.taps.teacher[name]
    readers = list(
        dict.fromkeys(tap.network for taps in roles.values() for tap in taps))
    batches = model.prepare_batch(data, readers)['teacher_batches']
    found: Dict[Tap, List[Tensor]] = {}
    for elsewhere in (True, False):
        found.update(
            read_taps(model.teachers, model.taps, [name], batches, elsewhere))
    home = next(model.student.parameters()).device
    return {
        role: [level.to(home) for tap in taps for level in found[tap]]
        for role, taps in roles.items()
    }
