"""Do samples and batches of a run go through its networks?"""
import copy
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional

import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.evaluator import Evaluator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from mmkd.errors import ConfigError, MMKDError
from mmkd.utils.arguments import error_context, with_reason
from mmkd.utils.data import own_pipeline
from mmkd.utils.rng import preserve_rng


def check_validation(student: nn.Module, loader: DataLoader,
                     evaluator: Evaluator) -> List[str]:
    """Let one image or scan of the validation go through a network.

    A copy of the network runs, and copies of the metrics get the result, so
    the run does not change.

    Args:
        student (nn.Module): The network, on its device.
        loader (DataLoader): The loader of the validation.
        evaluator (Evaluator): Its metrics.

    Returns:
        list[str]: Layers of batch normalisation that got a single value per
        channel, and are not frozen in training.

    Raises:
        ConfigError: If the network or a metric fails.
        DataError: If a file cannot be loaded.
    """
    with preserve_rng():
        with error_context('the validation data cannot be loaded'):
            batch = loader.collate_fn([own_pipeline(loader.dataset)[0]])
        student = copy.deepcopy(student)
        normalised = {
            module: name
            for name, module in student.train().named_modules()
            if isinstance(module, _BatchNorm) and module.training
        }
        student.eval()
        with _single_values(normalised) as single, torch.no_grad():
            try:
                found = student.val_step(batch)
            except MMKDError:
                raise
            except Exception as error:
                raise ConfigError(does_not_run('validation', batch,
                                               error)) from error
        with error_context('`val_evaluator` does not take the predictions'):
            _trial(evaluator).process(data_samples=found, data_batch=batch)
    return single


def check_training(network: nn.Module, loader: DataLoader) -> Optional[float]:
    """Let a batch of the training go through a plain network.

    A copy of the network runs, without gradients, so the run does not change.

    Args:
        network (nn.Module): The network, on its device.
        loader (DataLoader): The loader of the training.

    Returns:
        float, optional: The loss. None if the sampler composes batches in a
        way of its own, which cannot be tried without disturbing it.

    Raises:
        ConfigError: If the network fails.
        DataError: If a file cannot be loaded.
    """
    sampler = getattr(loader.batch_sampler, 'sampler', None)
    if type(sampler) not in (DefaultSampler, InfiniteSampler):
        return None
    dataset = own_pipeline(loader.dataset)
    size = getattr(loader.batch_sampler, 'batch_size', None) or 1
    with preserve_rng():
        with error_context('the training data cannot be loaded'):
            batch = loader.collate_fn(
                [dataset[i] for i in range(min(size, len(dataset)))])
        network = copy.deepcopy(network).train()
        try:
            with torch.no_grad():
                data = network.data_preprocessor(batch, True)
                loss, _ = network.parse_losses(network(**data, mode='loss'))
        except MMKDError:
            raise
        except Exception as error:
            raise ConfigError(does_not_run('training', batch,
                                           error)) from error
    return float(loss)


def does_not_run(kind: str, batch: Dict[str, Any], error: Exception) -> str:
    """Say that a network fails on a batch of the data loader.

    Args:
        kind (str): ``'training'`` or ``'validation'``.
        batch (dict): The batch.
        error (Exception): What was raised.
    """
    inputs = batch.get('inputs')
    image = inputs[0] if isinstance(inputs, (list, tuple)) and inputs else None
    size = f' (images of {image.shape[-2]}x{image.shape[-1]})' if isinstance(
        image, Tensor) and image.dim() == 3 else ''
    remedy = '; `size_divisor` of the data preprocessor (`pad_size_divisor` ' \
        'in mmdet) pads images' if 'divis' in str(error) else ''
    return with_reason(f'the student does not run on the {kind} data{size}',
                       error) + remedy


@contextmanager
def _single_values(layers: Dict[nn.Module, str]) -> Iterator[List[str]]:
    """Context that notes the names of layers with one value per channel."""
    found: List[str] = []

    def look(module: nn.Module, args: tuple) -> None:
        if args and isinstance(args[0], Tensor) and args[0].dim(
        ) > 1 and args[0].numel() == args[0].shape[1]:
            found.append(layers[module])

    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _trial(evaluator: Evaluator) -> Evaluator:
    """A copy of an evaluator whose metrics keep nothing in the original."""
    evaluator = copy.copy(evaluator)
    # Metrics that only write files would do so.
    metrics = [
        copy.copy(metric) for metric in evaluator.metrics
        if not getattr(metric, 'format_only', False)
    ]
    for metric in metrics:
        metric.results = []
    evaluator.metrics = metrics
    return evaluator


def batch_norm_fault(loader: DataLoader, layers: List[str]) -> Optional[str]:
    """Say that batch normalisation would fail on a training batch of one.

    Args:
        loader (DataLoader): The loader of the training.
        layers (list[str]): Layers with a single value per channel and image.
    """
    sampler = loader.batch_sampler
    size = getattr(sampler, 'batch_size', None)
    if not layers or not size:
        return None
    endless = isinstance(getattr(sampler, 'sampler', None), InfiniteSampler)
    short = not endless and not getattr(sampler, 'drop_last', False) and \
        len(sampler.sampler) % size == 1
    if size > 1 and not short:
        return None
    which = 'batches have' if size == 1 else 'the last batch of an epoch has'
    remedy = 'take a larger `batch_size`' if size == 1 else \
        'set `drop_last=True`'
    return (f'`train_dataloader`: {which} one image, of which the batch '
            f'normalisation {layers[0]} gets a single value per channel, so '
            f'training would fail; {remedy} in `train_dataloader`, or another '
            '`norm_cfg`')
