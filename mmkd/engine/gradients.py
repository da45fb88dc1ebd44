"""Losses of the methods and their gradients, beside the task loss."""
from dataclasses import dataclass
from typing import List, Optional

import torch

from mmkd.core.balance import CheckpointedError, gradient_norm
from mmkd.core.distiller import flat_levels
from mmkd.core.model import DistillationModel
from mmkd.core.terms import term_name, total_loss


@dataclass(frozen=True)
class TermGradient:
    """One term of a method, at its largest weight of the run.

    Attributes:
        term (str): Its name in the log.
        loss (float): Its weighted value.
        own (bool): Whether it only trains the method's own modules.
        reaches (bool, optional): Whether its gradient reaches the student's
            taps; None if activation checkpointing hides that.
        gradient (float, optional): Norm of its gradient at the taps, as a
            multiple of the task loss's; None if one of them has none.
    """
    term: str
    loss: float
    own: bool
    reaches: Optional[bool]
    gradient: Optional[float]


@dataclass(frozen=True)
class MethodGradient:
    """A method, with all its terms at their largest weights of the run.

    Attributes:
        name (str): Name of the distiller.
        task (float): The task loss; 0 without labels.
        terms (list[TermGradient]): Its terms.
        gradient (float, optional): As that of a term, of their sum.
        balanced_weight (float, optional): The ``loss_weight`` at which
            ``gradient`` is 1; None if that is calibrated or not known.
    """
    name: str
    task: float
    terms: List[TermGradient]
    gradient: Optional[float]
    balanced_weight: Optional[float]


def measure_gradients(model: DistillationModel,
                      data: dict) -> List[MethodGradient]:
    """Run one step without an update.

    Args:
        model (DistillationModel): The model. It runs in its current mode and
            may update its state, so pass a copy.
        data (dict): A batch of the data loader.

    Raises:
        ConfigError: If a method has an automatic weight and its gradient
            cannot be measured.
    """
    step = model.planner.peak()
    _, tensors, batch = model.run_networks(
        step, model.prepare_batch(data, step.teachers))
    task = torch.zeros(
        ()) if model.label_free else total_loss(batch.task_losses)
    measured = []
    for name, weights in step.weights.items():
        distiller = model.distillers[name]
        student, teacher = tensors[name]
        losses = distiller(student, teacher, batch, weights)
        taps = flat_levels(student)

        def measure(loss):
            try:
                norm = gradient_norm(loss, taps)
            except CheckpointedError:
                return None, None
            return norm is not None, norm

        _, scale = measure(task)

        def relative(loss):
            reaches, norm = measure(loss)
            return reaches, (
                float(norm / scale) if norm is not None and scale is not None
                and scale > 0 else None)

        terms = [
            TermGradient(
                term_name(name, term),
                float(losses[term].detach()), term in distiller.own_terms,
                *relative(losses[term])) for term in weights
        ]
        values = [losses[term] for term in weights]
        _, gradient = relative(sum(values[1:], values[0]))
        known = gradient and distiller.balance is None
        measured.append(
            MethodGradient(
                name, float(task.detach()), terms, gradient,
                distiller.loss_weight.peak / gradient if known else None))
    return measured
