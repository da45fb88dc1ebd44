"""Losses against what a teacher says of other images."""
import copy
from typing import Dict, Tuple

import torch

from mmkd.core.mixed import pick_images, split_unlabelled
from mmkd.core.model import DistillationModel
from mmkd.families import FoundationFamily, family_of

#: Number of images that are compared, at most.
_IMAGES = 8


@torch.no_grad()
def shuffled_losses(model: DistillationModel,
                    data: dict) -> Dict[str, Tuple[float, float]]:
    """Losses of methods with a foundation teacher, for some images.

    Args:
        model (DistillationModel): The model. Its state stays.
        data (dict): A batch of the data loader.

    Returns:
        dict[str, tuple[float, float]]: By distiller, its loss, and that
        against the teacher's tensors of other images of the batch. Empty for
        batches of one image.
    """
    foundation = {
        name
        for name, teacher in model.teachers.items()
        if isinstance(family_of(teacher.network), FoundationFamily)
    }
    step = model.planner.now()
    names = [
        name for name in step.weights
        if not model.distillers[name].needs_labels and foundation.issuperset(
            tap.network for taps in model.taps.teacher[name].values()
            for tap in taps)
    ]
    data = split_unlabelled(data)[0]
    if not names or len(data['inputs']) < 2:
        return {}
    # The student may update its state; the teachers are shared.
    model = copy.deepcopy(model)
    # Preprocessors change data samples.
    data = copy.deepcopy(
        pick_images(data, range(min(_IMAGES, len(data['inputs'])))))
    _, tensors, batch = model.run_networks(
        step, model.prepare_batch(data, step.teachers), end_early=True)
    found = {}
    for name in names:
        weights = step.weights[name]
        student, teacher = tensors[name]
        others = {
            role: [level.roll(1, 0) for level in levels]
            for role, levels in teacher.items()
        }
        own, wrong = (
            model.distillers[name](
                student, given, batch, weights, weigh=False)
            for given in (teacher, others))
        found[name] = (float(sum(own[x] * weights[x] for x in weights)),
                       float(sum(wrong[x] * weights[x] for x in weights)))
    return found
