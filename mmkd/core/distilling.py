"""The losses of all distillers in a step."""
from typing import Dict, Mapping, Tuple

import torch
from torch import Tensor

from mmkd.core.balance import GradientBalance, calibrate, gradient_shares
from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller, measured
from mmkd.core.step import Step, Tensors
from mmkd.core.terms import figure_name, log_entries, total_loss


def distil(distillers: Mapping[str, Distiller], step: Step,
           tensors: Mapping[str, Tuple[Tensors, Tensors]], batch: StepBatch,
           device: torch.device) -> Dict[str, Tensor]:
    """Compute the weighted terms of all distillers.

    Args:
        distillers (Mapping[str, Distiller]): All distillers by name.
        step (Step): The active ones and their weights.
        tensors (Mapping[str, tuple]): Tensors of the student and of the
            teachers by role, for each active distiller by name.
        batch (StepBatch): The batch.
        device (torch.device): Device of the zeros of inactive distillers.

    Returns:
        dict[str, Tensor]: Terms and figures, by their names in the log; if
        the step measures them, also the shares of the task and of each
        distiller in the gradients at the student's taps.
    """
    terms = {
        name: distillers[name].terms(*tensors[name], batch, weights)
        for name, weights in step.weights.items()
    }
    calibrate(
        {
            name:
            measured(distillers[name], tensors[name][0], terms[name], weights)
            for name, weights in step.weights.items()
            if isinstance(distillers[name].balance, GradientBalance)
        }, batch.task_losses)
    losses: Dict[str, Tensor] = {}
    totals: Dict[str, Tensor] = {}
    for name, distiller in distillers.items():
        weights = step.weights.get(name)
        if weights:
            found = distiller.weigh(terms[name], weights)
            values = [found[term] for term in weights]
            totals[figure_name(name, 'share')] = sum(values[1:], values[0])
        else:
            found = distiller.idle_losses(device)
        losses.update(log_entries(name, found, distiller.weights))
    if step.measures_shares and totals and torch.is_grad_enabled():
        if batch.task_losses:
            totals['student.share'] = total_loss(batch.task_losses)
        taps = {
            id(tensor): tensor
            for name in step.weights
            for levels in tensors[name][0].values()
            for tensor in levels
        }
        losses.update(gradient_shares(totals, list(taps.values())))
    return losses
