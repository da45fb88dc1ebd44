"""Random masks of feature maps, of MGD."""
import torch
from torch import Tensor


def random_mask(feat: Tensor,
                mask_ratio: float,
                kind: str = 'cells') -> Tensor:
    """Draw the cells or the channels of a map that are kept.

    `Masked Generative Distillation <https://arxiv.org/abs/2205.01529>`_
    (ECCV 2022): each cell of each image, in all its channels, is dropped with
    probability ``mask_ratio``; for classifiers, each channel in all its
    cells. The random numbers come from torch's generator of the
    map's device. They are always float32, since half precision has too few
    values between 0 and 1.

    Args:
        feat (Tensor): Features (N, C, H, W).
        mask_ratio (float): Fraction to drop, within [0, 1].
        kind (str): ``'cells'`` or ``'channels'``. Defaults to ``'cells'``.

    Returns:
        Tensor: (N, 1, H, W), or (N, C, 1, 1) for channels, in the type of
        ``feat``; 1 for what is kept and 0 elsewhere.
    """
    if not 0 <= mask_ratio <= 1:
        raise ValueError('mask_ratio is a share in [0, 1], but got '
                         f'{mask_ratio}')
    num, channels, height, width = feat.shape
    shape = (num, channels, 1, 1) if kind == 'channels' else (num, 1, height,
                                                              width)
    draw = torch.rand(shape, dtype=torch.float32, device=feat.device)
    return (draw < 1 - mask_ratio).to(feat.dtype)
