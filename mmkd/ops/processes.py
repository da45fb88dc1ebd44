"""Numbers that all processes share."""
from mmengine.dist import all_reduce
from torch import Tensor


def all_reduce_mean(value: Tensor) -> Tensor:
    """Mean of a number over the processes; the host does not wait.

    Args:
        value (Tensor): Scalar, which keeps its value.

    Returns:
        Tensor: Scalar, the same in all processes.
    """
    value = value.clone()
    all_reduce(value, 'mean')
    return value
