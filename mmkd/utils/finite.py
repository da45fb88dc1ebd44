"""Weights that are NaN or infinite."""
import torch
from torch import Tensor, nn

from mmkd.errors import CheckpointError


def not_finite(tensor: Tensor, only_nan: bool = False) -> bool:
    """Whether a tensor holds NaN, or infinity unless only NaN counts."""
    if tensor.layout != torch.strided or not (tensor.is_floating_point()
                                              or tensor.is_complex()):
        return False
    bad = tensor.isnan() if only_nan else ~tensor.isfinite()
    return bool(bad.any())


def check_finite(network: nn.Module, path: str, name: str) -> None:
    """Check that a network that was loaded can compute something.

    Args:
        network (nn.Module): The network.
        path (str): The file that its weights come from.
        name (str): What to call it in messages.

    Raises:
        CheckpointError: If a parameter is not finite, or a buffer has NaN.
    """
    bad = [
        key for key, value in network.named_parameters() if not_finite(value)
    ]
    bad += [
        key for key, value in network.named_buffers()
        if not_finite(value, only_nan=True)
    ]
    if bad:
        more = f' and {len(bad) - 1} more' if len(bad) > 1 else ''
        raise CheckpointError(f'{path}: weights of {name} are NaN or '
                              f'infinite: {bad[0]}{more}; its training had '
                              'failed, take an earlier checkpoint')
