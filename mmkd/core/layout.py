"""The memory format of networks of 2D convolutions."""
from typing import Any

import torch
from torch import Tensor, nn


def set_layout(network: nn.Module, layout: torch.memory_format) -> None:
    """Store the weights of a network's 2D convolutions in a memory format;
    their outputs follow it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(
                memory_format=layout)


def in_layout(inputs: Any, layout: torch.memory_format) -> Any:
    """Images (N, C, H, W) in a memory format; other inputs as they are."""
    if isinstance(inputs, Tensor) and inputs.dim() == 4:
        return inputs.contiguous(memory_format=layout)
    return inputs
