"""Batches of labelled and unlabelled images."""
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

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
    kinds = images_by_kind(data)
    if len(kinds) < 2:
        return data, None
    first, second = (pick_images(data, indices) for indices in kinds)
    return first, second


def images_by_kind(data: dict) -> List[List[int]]:
    """Indices of the labelled images of a batch of the data loader, and of
    the unlabelled ones; without a kind that it lacks."""
    kinds: Dict[bool, List[int]] = {True: [], False: []}
    for i, sample in enumerate(data.get('data_samples') or []):
        kinds[getattr(sample, 'metainfo', {}).get('labelled', True)].append(i)
    return [indices for indices in kinds.values() if indices]


def pick_images(data: dict, indices: Sequence[int]) -> dict:
    """Some images of a batch of the data loader, in the order of their
    indices."""
    return {
        key: items if items is None else [items[i] for i in indices]
        for key, items in data.items()
    }


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
