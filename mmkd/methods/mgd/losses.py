"""Random masks of feature maps, after MGD."""
import torch
from torch import Tensor


def random_cells(feat: Tensor, mask_ratio: float) -> Tensor:
    """Draw the cells of a map that are kept, the same for all channels.

    `Masked Generative Distillation <https://arxiv.org/abs/2205.01529>`_
    (ECCV 2022): each cell of each image is dropped with probability
    ``mask_ratio``. The random numbers come from torch's generator of the
    map's device. They are always float32, since half precision has too few
    values between 0 and 1.

    Args:
        feat (Tensor): Features (N, C, H, W).
        mask_ratio (float): Fraction of cells to drop, within [0, 1].

    Returns:
        Tensor: (N, 1, H, W) in the type of ``feat``; 1 where a cell is kept
        and 0 elsewhere.
    """
    if not 0 <= mask_ratio <= 1:
        raise ValueError('mask_ratio is a share in [0, 1], but got '
                         f'{mask_ratio}')
    draw = torch.rand((len(feat), 1, *feat.shape[2:]),
                      dtype=torch.float32,
                      device=feat.device)
    return (draw < 1 - mask_ratio).to(feat.dtype)
