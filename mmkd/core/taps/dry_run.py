"""A forward pass on a small synthetic batch, to find the taps' shapes."""
import re
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmkd.core.taps.catcher import TapCatcher
from mmkd.core.taps.recognise import recognise
from mmkd.core.taps.tap import Tap, TapSpec, describe
from mmkd.errors import ConfigError, TapError
from mmkd.families import KnownTap, family_of
from mmkd.utils.devices import on_device, training_device
from mmkd.utils.rng import preserve_rng

Batch = Dict[str, Any]

#: What mmcv and torch say of an operator without code for CPUs.
_NO_CPU = 'device cpu|on CPU|NVIDIA driver|not compiled with CUDA|' \
    'CUDA in forked'


def tensors_in(value: Any) -> List[Tensor]:
    """All tensors of nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in tensors_in(item)]
    return []


@contextmanager
def untouched(network: nn.Module, training: bool = False) -> Iterator[None]:
    """Context without gradients that restores modes and buffers on exit.

    Args:
        network (nn.Module): The network that will run.
        training (bool): Whether the network is in training mode. Batch
            normalisation, which could need several images or a GPU, stays in
            eval mode. Defaults to False: eval mode.
    """
    modes = {module: module.training for module in network.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    network.train(training)
    for module in modes:
        if isinstance(module, _BatchNorm):
            module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


def _plain_attributes(module: nn.Module) -> Dict[str, Any]:
    """The public attributes of a module with plain data."""

    def is_plain(value: Any) -> bool:
        if isinstance(value, (list, tuple)):
            return all(map(is_plain, value))
        return isinstance(value, (bool, int, float, str))

    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith('_') and is_plain(value)
    }


def _does_not_run(network: nn.Module, name: str, on: str, error: Exception,
                  way_out: str) -> ConfigError:
    if re.search(_NO_CPU, str(error)):
        way_out = ('one of its operators has no code for CPUs, so it needs a '
                   'GPU that torch finds')
    return ConfigError(f'{name} ({type(network).__name__}) does not run on '
                       f'{on}: {type(error).__name__}: {str(error)[:200]}; '
                       f'{way_out}')


def _what_was_given(batch: Batch, size: Tuple[int, int]) -> Tuple[str, str]:
    """Describe the input of a dry run, and how to change it."""
    if isinstance(batch['inputs'], dict):
        return 'this input', '`dry_run_batch` sets another one'
    return (f'a {size[0]}x{size[1]} image', '`dry_run_size` sets another size')


class DryRun:
    """Result of a dry run.

    Attributes:
        specs (dict[Tap, list[TapSpec]]): Specs of each tap, one per level.
        counts (dict[Tap, int]): Number of times each tap fired.
        overwritten (list[Tap]): Taps whose tensor a later layer modified.
        writes_input (bool): Whether the network modified its input.
        batch (dict): The batch that it ran on.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.specs: Dict[Tap, List[TapSpec]] = {}
        self.counts: Dict[Tap, int] = {}
        self.overwritten: List[Tap] = []
        self.writes_input = False


def dry_run(network: nn.Module,
            taps: Sequence[Tap],
            name: str,
            modes: Sequence[str],
            size: Tuple[int, int],
            batch: Optional[Batch] = None,
            training: bool = False) -> DryRun:
    """Run a network once and record the shapes of its taps.

    Modes and buffers are restored. A network may keep other state (counters,
    histories), so pass a copy of the student. It may also draw random
    numbers; see :func:`~mmkd.utils.rng.preserve_rng`.

    Args:
        network (nn.Module): The network.
        taps (Sequence[Tap]): The taps.
        name (str): Name of the network in messages.
        modes (Sequence[str]): Modes of ``forward`` to try in order; the first
            one in which the network runs is used.
        size (tuple[int, int]): Height and width of the synthetic image.
        batch (dict, optional): A prepared batch to use instead of the
            synthetic one. Defaults to None.
        training (bool): See :func:`untouched`. Defaults to False.

    Raises:
        TapError: If a tap does not fire, or fires more often than expected.
        ConfigError: If the network does not run.
    """
    if batch is None:
        try:
            batch = family_of(network).example_batch(network, size)
        except ConfigError:
            raise
        except Exception as error:  # of its preprocessor
            raise _does_not_run(
                network, name, 'an example', error,
                '`dry_run_batch` sets another input') from error
    inputs = tensors_in(batch['inputs'])
    image = next((x for x in inputs if x.dim() == 4), None)
    input_size = None if image is None else (image.shape[-2], image.shape[-1])
    failure = ConfigError(f'{name}: there is no mode to run it in')
    for mode in modes:
        result = DryRun(batch)
        versions = [tensor._version for tensor in inputs]
        catcher = TapCatcher(network, taps, name)
        try:
            with untouched(network, training), catcher:
                network(batch['inputs'], batch.get('data_samples'), mode=mode)
        except TapError:
            raise
        except Exception as error:
            print_log(
                f'{name}: the dry run in mode {mode!r} failed: {error!r}',
                'current')
            on, way_out = _what_was_given(batch, size)
            failure = _does_not_run(network, name, on, error, way_out)
            if mode != modes[-1] or not all(
                    tap.calls == 'one' and catcher.fired[tap] for tap in taps):
                continue
            # All taps fired before the failure.
        result.overwritten = catcher.overwritten
        result.counts = catcher.fired
        caught = catcher.take(check_overwritten=False)
        for tap, tensors in caught.items():
            result.specs[tap] = _specs(network, tap,
                                       tap.resolve(network,
                                                   name), tensors, input_size)
        result.writes_input = versions != [t._version for t in inputs]
        return result
    raise failure


def _specs(network: nn.Module, tap: Tap, module: nn.Module,
           tensors: List[Tensor],
           input_size: Optional[Tuple[int, int]]) -> List[TapSpec]:
    """What a tap gave, and what its family knows of it."""
    known = recognise(network, tap) or KnownTap(tap.path)
    place = family_of(network).places.get(known.kind or '')
    return [
        TapSpec(
            f'{tap.path}[{i}]' if len(tensors) > 1 else tap.path,
            tuple(tensor.shape),
            tensor.dtype,
            input_size if place is None or place.in_image else None,
            tap.network,
            known.kind,
            known.task,
            known.branch,
            known.level + i if known.kind else None,
            attributes=_plain_attributes(module))
        for i, tensor in enumerate(tensors)
    ]


def trace(network: nn.Module,
          name: str,
          size: Tuple[int, int],
          modes: Sequence[str] = ('loss', 'tensor'),
          training: bool = True) -> List[Tuple[str, str, int, str]]:
    """Run a network once and record every module that is called.

    It runs on the device that trains, and is moved back.

    Args:
        network (nn.Module): The network.
        name (str): Name of the network in messages.
        size (tuple[int, int]): Height and width in pixels of the image.
        modes (Sequence[str]): As in :func:`dry_run`. Defaults to those of a
            student.
        training (bool): See :func:`untouched`. Defaults to True.

    Returns:
        list[tuple]: Path, class, number of calls, and output of each module,
        in the order in which their first calls end.
    """
    names = {module: path for path, module in network.named_modules() if path}
    calls: Dict[str, int] = {}
    rows: Dict[str, Tuple[str, str]] = {}
    failure: Optional[Exception] = None

    def hook(module: nn.Module, args: tuple, output: Any) -> None:
        path = names[module]
        calls[path] = calls.get(path, 0) + 1
        rows.setdefault(path, (type(module).__name__, describe(output)))

    handles = [module.register_forward_hook(hook) for module in names]
    try:
        with on_device(network, training_device()):
            batch = family_of(network).example_batch(network, size)
            for mode in modes:
                calls.clear()
                rows.clear()
                try:
                    with preserve_rng(), untouched(network, training):
                        network(
                            batch['inputs'], batch['data_samples'], mode=mode)
                    break
                except Exception as error:
                    print_log(
                        f'{name}: the dry run in mode {mode!r} failed: '
                        f'{error!r}', 'current')
                    failure = error
            else:
                raise ConfigError(
                    f'{name} ({type(network).__name__}) does not run on '
                    f'{_what_was_given(batch, size)[0]}: '
                    f'{type(failure).__name__}: {str(failure)[:200]}; choose '
                    'another size')
    finally:
        for handle in handles:
            handle.remove()
    return [(path, kind, calls[path], what)
            for path, (kind, what) in rows.items()]
