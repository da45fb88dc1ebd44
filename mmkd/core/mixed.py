"""Batches of labelled and unlabelled images."""
from contextlib import contextmanager
from typing import Any, Iterator, List, Optional, Tuple

from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import nn

from mmkd.core.distilling import Part
from mmkd.core.step import Step


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


def run_parts(model: Any, step: Step, batch: dict,
              unlabelled: Optional[dict]) -> Tuple[dict, List[Part]]:
    """Run the networks on a batch.

    Args:
        model (DistillationModel): The model.
        step (Step): The step.
        batch (dict): The labelled images; see ``model.run_networks``.
        unlabelled (dict, optional): The unlabelled ones, which pass through
            the student as far as its last tap.

    Returns:
        tuple[dict, list[Part]]: Losses of the student by name; and both
        parts.
    """
    losses, tensors, seen = model.run_networks(step, batch)
    parts = [(tensors, seen)]
    if unlabelled is not None:
        # Second, since the norms of the first pass write their statistics,
        # which the backward pass of frozen ones reads.
        frozen = model.unlabelled_norm == 'frozen'
        with running_statistics(model.student, frozen):
            parts.append(
                model.run_networks(step, unlabelled, end_early=True)[1:])
    return losses, parts


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
