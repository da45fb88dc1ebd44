"""The losses of all distillers in a step."""
from typing import Dict, Mapping, Sequence, Tuple

import torch
from torch import Tensor

from mmkd.core.balance import (CheckpointedError, GradientBalance, calibrate,
                               gradient_shares)
from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller, flat_levels, measured
from mmkd.core.step import Step, Tensors
from mmkd.core.terms import figure_name, log_entries, total_loss

#: A part of a batch: tensors of the student and of the teachers by role, for
#: each active distiller by name; and the images.
Part = Tuple[Mapping[str, Tuple[Tensors, Tensors]], StepBatch]


def distil(distillers: Mapping[str, Distiller], step: Step,
           parts: Sequence[Part], device: torch.device) -> Dict[str, Tensor]:
    """Compute the weighted terms of all distillers.

    Args:
        distillers (Mapping[str, Distiller]): All distillers by name.
        step (Step): The active ones and their weights.
        parts (Sequence[Part]): The batch; or the labelled images, by which
            automatic weights are measured, and the unlabelled ones. Terms are
            means over all images.
        device (torch.device): Device of the zeros of inactive distillers.

    Returns:
        dict[str, Tensor]: Terms and figures, by their names in the log; if
        the step measures them, also the shares of the task and of each
        distiller in the gradients at the student's taps, unless activation
        checkpointing prevents it.
    """
    found = [{
        name:
        distillers[name](*tensors[name], batch, weights, weigh=False)
        for name, weights in step.weights.items()
    } for tensors, batch in parts]
    (tensors, batch), terms = parts[0], found[0]
    calibrate(
        {
            name:
            measured(distillers[name], tensors[name][0], terms[name], weights)
            for name, weights in step.weights.items()
            if isinstance(distillers[name].balance, GradientBalance)
        }, batch.task_losses)
    if len(parts) > 1:
        counts = [len(batch.data_samples or []) for _, batch in parts]
        terms = {
            name: _mean([x[name] for x in found], counts)
            for name in terms
        }
    losses: Dict[str, Tensor] = {}
    totals: Dict[str, Tensor] = {}
    for name, distiller in distillers.items():
        weights = step.weights.get(name)
        if weights:
            entries = distiller.weigh(terms[name], weights)
            values = [entries[term] for term in weights]
            totals[figure_name(name, 'share')] = sum(values[1:], values[0])
        else:
            entries = distiller.idle_losses(device)
        losses.update(log_entries(name, entries, distiller.weights))
    if step.measures_shares and totals and torch.is_grad_enabled():
        if batch.task_losses:
            totals['student.share'] = total_loss(batch.task_losses)
        taps = {
            id(tensor): tensor
            for tensors, _ in parts
            for name in step.weights
            for tensor in flat_levels(tensors[name][0])
        }
        try:
            losses.update(gradient_shares(totals, list(taps.values())))
        except CheckpointedError:
            pass  # SharesHook warns
    return losses


def _mean(terms: Sequence[Mapping[str, Tensor]],
          counts: Sequence[int]) -> Dict[str, Tensor]:
    """The mean of each term over the parts, of that many images, that have
    it; a method may leave out a figure."""
    found = {}
    for key in dict.fromkeys(key for x in terms for key in x):
        of_key = [(x[key] * count, count) for x, count in zip(terms, counts)
                  if key in x]
        values, images = zip(*of_key)
        found[key] = torch.stack(values).sum() / sum(images)
    return found
