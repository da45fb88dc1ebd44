"""Running a network on the device that trains."""
from contextlib import contextmanager
from typing import Iterator

import torch
from mmengine.device import get_device
from torch import Tensor, nn

from mmkd.errors import ConfigError


def training_device() -> torch.device:
    """The device that a runner of mmengine moves its model to; on CUDA, the
    current device of this process."""
    return torch.device(get_device())


def send(values: Tensor, device: torch.device) -> Tensor:
    """Copy values of a batch from the host to a device, in a way that does
    not make the host wait.

    For what differs from batch to batch; see
    :func:`~mmkd.ops.constants.constant` for what does not. Do not write to
    ``values`` afterwards.
    """
    if device.type == 'cuda' and values.device.type == 'cpu':
        # Otherwise the driver may wait before it reads them.
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def existing_device(device: str, name: str) -> torch.device:
    """A device that is there.

    Args:
        device (str): The device, such as ``'cuda:1'``.
        name (str): What runs on it, for the message.

    Raises:
        ConfigError: If there is no such device.
    """
    try:
        torch.empty(0, device=device)
        return torch.device(device)
    except (RuntimeError, AssertionError) as error:
        count = torch.cuda.device_count()
        there = ', '.join(f'cuda:{i}' for i in range(count)) or 'no GPU'
        raise ConfigError(
            f'{name}: there is no device {device!r}; torch finds '
            f'{there}') from error


@contextmanager
def on_device(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Context in which a network is on a device.

    On exit, the network has the same parameters and buffers as before,
    including their values: what ran on the device changed copies. Nothing
    happens if the network is on a device of this type already.

    Args:
        network (nn.Module): The network.
        device (torch.device): The device.
    """
    first = next(network.parameters(), torch.zeros(()))
    if first.device.type == device.type:
        yield
        return
    modules = list(network.modules())
    tensors = [(module, dict(module._parameters), dict(module._buffers))
               for module in modules]
    data = [(p, p.data) for p in network.parameters()]
    # mmengine's preprocessors move batches to a device of their own.
    targets = [(module, module._device) for module in modules
               if hasattr(module, '_device')]
    try:
        network.to(device)
        yield
    finally:
        for module, parameters, buffers in tensors:
            module._parameters.update(parameters)
            module._buffers.update(buffers)
        for parameter, values in data:
            parameter.data = values
        for module, target in targets:
            module._device = target
