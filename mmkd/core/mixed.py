"""Batches of labelled and unlabelled images."""
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional, Tuple

from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from mmkd.core.step import Step
from mmkd.core.terms import log_entries


def split_unlabelled(data: dict) -> Tuple[dict, Optional[dict]]:
    """Split a batch of the data loader.

    Args:
        data (dict): ``inputs`` and ``data_samples``; the meta information of
            unlabelled samples has ``labelled=False``.

    Returns:
        tuple[dict, dict | None]: The labelled and the unlabelled part. A
        batch of one kind is not split.
    """
    labelled = [
        sample.metainfo.get('labelled', True)
        for sample in data.get('data_samples') or []
        if hasattr(sample, 'metainfo')
    ]
    if all(labelled) or not any(labelled):
        return data, None
    first, second = ({
        key: [
            item for item, is_labelled in zip(items, labelled)
            if is_labelled == wanted
        ]
        for key, items in data.items()
    } for wanted in (True, False))
    return first, second


def losses_of(model: Any, step: Step, batch: dict,
              unlabelled: Optional[dict]) -> Dict[str, Tensor]:
    """Losses of a step by their names in the log.

    Args:
        model (DistillationModel): The model.
        step (Step): The step.
        batch (dict): Arguments of ``model.run_networks``.
        unlabelled (dict, optional): The same of images without labels.

    Returns:
        dict[str, Tensor]: Losses of the student, on the labelled images; and
        the terms of the distillers, means over all images.
    """

    def run(part: dict, is_unlabelled: bool) -> Tuple[dict, dict]:
        losses, tensors, step_batch = model.run_networks(
            step, part, end_early=is_unlabelled)
        step_batch.unlabelled = is_unlabelled
        return losses, {
            name: distiller(*tensors[name], step_batch, step.weights[name])
            for name, distiller in model.distillers.items()
            if step.weights.get(name)
        }

    losses, found = run(batch, False)
    if unlabelled is not None:
        # Second, since the norms of the first pass write their statistics,
        # which the backward pass of frozen ones reads.
        with running_statistics(model.student,
                                model.unlabelled_norm == 'frozen'):
            _, others = run(unlabelled, True)
        counts = len(batch['inputs']), len(unlabelled['inputs'])
        found = {
            name: {
                key: (counts[0] * value + counts[1] * others[name][key]) /
                sum(counts)
                for key, value in terms.items()
            }
            for name, terms in found.items()
        }
    entries = {f'student.{key}': value for key, value in losses.items()}
    device = next(model.student.parameters()).device
    for name, distiller in model.distillers.items():
        terms = found[name] if name in found else \
            distiller.idle_losses(device)
        entries.update(log_entries(name, terms, distiller.weights))
    return entries


@contextmanager
def running_statistics(network: nn.Module, use: bool) -> Iterator[None]:
    """Context in which a network's batch normalisations use their running
    statistics, which then do not change.

    Args:
        network (nn.Module): The network.
        use (bool): Whether they do so; otherwise nothing changes.
    """
    norms = [
        module for module in network.modules()
        if use and isinstance(module, _BatchNorm) and module.training
    ]
    for norm in norms:
        norm.train(False)
    try:
        yield
    finally:
        for norm in norms:
            norm.train(True)
