"""Edge and body losses of BPKD.

The names and the order follow the paper: masks from the labels, then the edge
part over classes and the body part over space.
"""
from typing import Callable, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.channel_wise import channel_wise_divergence
from mmkd.ops.constants import constant
from mmkd.ops.divergences import (check_logits, class_divergence,
                                  comparable_logits)
from mmkd.ops.masks import (label_maps, labelled_cells, mean_over_valid,
                            share_of_cells)
from mmkd.ops.precision import full_precision
from mmkd.utils.devices import send

# Pixels of class maps that are processed at once, about 20 MB.
_CHUNK = 1 << 21


def _slide(maps: Tensor, width: int, op: Callable, fill) -> Tensor:
    """Reduce a square window that slides over maps with stride 1.

    Separable, and by doubling: windows of 1, 2, 4, ... cells are combined
    until they have the full width. Much faster than max pooling on a CPU.

    Args:
        maps (Tensor): Maps (N, H, W) of any type.
        width (int): Side of the window, odd.
        op (Callable): Idempotent reduction of two tensors such as
            ``torch.maximum``.
        fill: Its neutral value, used outside the maps.

    Returns:
        Tensor: Maps (N, H, W), each cell reduced over its window.
    """
    maps = F.pad(maps, [width // 2] * 4, value=fill)
    for dim in (1, 2):
        done = 1
        while done < width:
            step = min(done, width - done)
            size = maps.size(dim) - step
            maps = op(maps.narrow(dim, 0, size), maps.narrow(dim, step, size))
            done += step
    return maps


def present_classes(labels: Sequence[Tensor], num_classes: int,
                    ignore_index: int) -> List[List[int]]:
    """Classes that occur in label maps.

    Args:
        labels (Sequence[Tensor]): Integer labels of each image, of any shape,
            on the host: their values are read.
        num_classes (int): Number of classes.
        ignore_index (int): Label of pixels to ignore.

    Returns:
        list[list[int]]: Of each image, in ascending order.

    Raises:
        ValueError: If a label is no class.
    """
    wrong = set()
    found = []
    for image in labels:
        image = image[image != ignore_index]
        strange = (image < 0) | (image >= num_classes)
        if strange.any():
            wrong.update(image[strange].tolist())
        else:
            found.append(image.bincount().nonzero().flatten().tolist())
    if wrong:
        raise ValueError(
            f'label {sorted(wrong)} found, but there are {num_classes} '
            f'classes (0 to {num_classes - 1}) and ignore_index is '
            f'{ignore_index}')
    return found


@torch.no_grad()
def edge_masks(
    labels: Tensor,
    num_classes: int,
    size: Tuple[int, int],
    edge_width: int = 7,
    ignore_index: int = 255,
    ignore_as_edge: bool = False,
    valid_threshold: float = 0.5,
    classes: Optional[Sequence[Sequence[int]]] = None
) -> Tuple[Tensor, Tensor]:
    """Soft edge mask of each class on the logit grid.

    `BPKD: Boundary Privileged Knowledge Distillation For Semantic
    Segmentation <https://arxiv.org/abs/2306.08075>`_. The one-hot map of a
    class is dilated and eroded with a square window. A pixel where the two
    differ lies on the edge of the class: its window contains this class and
    another one. The mask is the fraction of such pixels in a cell. Masks of
    classes that are not in an image are 0.

    Ignored pixels belong to neither an edge nor a class. By default, they do
    not count as another class, so the border of a void region is not an edge;
    with the literal morphological gradient, it would be.

    Args:
        labels (Tensor): Integer labels (N, Hg, Wg) or (N, 1, Hg, Wg).
        num_classes (int): Number of classes C.
        size (Tuple[int, int]): Height and width (H, W) of the logits.
        edge_width (int): Side of the window in label pixels, odd and at
            least 3; a straight border gives a band of ``edge_width - 1``
            pixels. Defaults to 7.
        ignore_index (int): Label of pixels to ignore. Defaults to 255.
        ignore_as_edge (bool): Whether ignored pixels count as another class,
            as in a literal reading of the paper. Defaults to False.
        valid_threshold (float): Minimum fraction of labelled pixels in a
            valid cell. Defaults to 0.5.
        classes (Sequence[Sequence[int]], optional): The classes of each
            image (:func:`present_classes`), or more; the cost grows with
            their number. Defaults to None: they are read from the labels,
            which makes the host wait for the device.

    Returns:
        tuple: Masks (N, C, H, W) in float32 within [0, 1], 0 in invalid
        cells, and valid cells (N, 1, H, W) in bool.
    """
    if edge_width < 3 or edge_width % 2 == 0:
        raise ValueError('edge_width must be an odd number of at least 3, '
                         f'but got {edge_width}')
    labels = label_maps(labels)
    if classes is None:
        classes = present_classes(labels.cpu(), num_classes, ignore_index)
    labelled = labels != ignore_index
    valid = labelled_cells(labels, size, ignore_index, valid_threshold)

    # Pixels whose window contains at least two labels.
    other = labels.masked_fill(~labelled, num_classes)
    lowest = _slide(other, edge_width, torch.minimum, num_classes)
    if not ignore_as_edge:
        other = other.masked_fill(~labelled, -1)
    highest = _slide(other, edge_width, torch.maximum, -1)
    mixed = labelled & (highest > lowest)

    masks = torch.zeros((labels.size(0), num_classes, *size),
                        device=labels.device)
    chunk = max(1, _CHUNK // labels[0].numel())
    every = torch.tensor([x for some in classes for x in some]).int()
    present = send(every, labels.device).split([len(some) for some in classes])
    for image, marked in enumerate(mixed):
        for some in present[image].split(chunk):
            # The window contains the class and another one.
            same = labels[image] == some.view(-1, 1, 1)
            edge = _slide(same, edge_width, torch.logical_or, False) & marked
            masks[image, some] = share_of_cells(edge, size)
    return masks * valid, valid


@full_precision
def edge_loss(logits_s: Tensor,
              logits_t: Tensor,
              masks: Tensor,
              valid: Optional[Tensor] = None,
              tau: float = 1.0,
              class_weights: Union[float, Sequence[float]] = 2.0,
              use_prm: bool = True,
              use_pom: bool = True) -> Tensor:
    r"""Edge part of BPKD: class probabilities in the edge cells.

    `BPKD: Boundary Privileged Knowledge Distillation For Semantic
    Segmentation <https://arxiv.org/abs/2306.08075>`_. With the masks M and
    :math:`n_{bc}`, the number of cells where :math:`M_{bc} > 0`,

    .. math::
        \phi_{bi} = \tau^2 \sum_c p^T_{bic}
            (\log p^T_{bic} - \log p^S_{bic}), \quad
        p_{bi} = \mathrm{softmax}_c(z_{bi} M_{bi} / \tau) \\
        L_E = \frac{1}{B} \sum_b \sum_c \frac{\alpha_c}{\max(1, n_{bc})}
            \sum_i \phi_{bi} M_{bci}

    The loss is summed over classes, averaged over each class's edge cells and
    over the images. Masked logits become 0, not -inf, so the loss changes if
    a constant is added to the logits.

    Args:
        logits_s (Tensor): Student's logits (N, C, H, W).
        logits_t (Tensor): Teacher's logits (N, C, H, W); no gradient.
        masks (Tensor): Edge masks (N, C, H, W), see :func:`edge_masks`.
        valid (Tensor, optional): Valid cells (N, 1, H, W); other cells are
            excluded. Defaults to None, which means all.
        tau (float): Temperature. Defaults to 1.0.
        class_weights (float | Sequence[float]): Weight of each class, one
            number for all or C numbers. Defaults to 2.0.
        use_prm (bool): Pre-mask filtering: whether the logits are multiplied
            by the mask before the softmax. Defaults to True.
        use_pom (bool): Post-mask filtering: whether the divergence is
            multiplied by the mask. Without it, it is averaged over the valid
            cells of each image, then over the images, and ``class_weights``
            are not used. Defaults to True.

    Returns:
        Tensor: Scalar loss.
    """
    logits_s, logits_t, valid = comparable_logits(logits_s, logits_t, tau,
                                                  valid)
    if use_prm:
        logits_s, logits_t = logits_s * masks, logits_t * masks
    phi = class_divergence(logits_s, logits_t, tau)
    if not use_pom:
        return mean_over_valid(phi, valid)
    num_classes = masks.size(1)
    alpha = constant(class_weights, phi)
    if alpha.numel() not in (1, num_classes):
        raise ValueError(
            f'class_weights must be one number or {num_classes}, one '
            f'for each class, but got {alpha.numel()}')
    num_cells = (masks > 0).sum(dim=(2, 3), keepdim=True).clamp(min=1)
    share = masks * alpha.view(1, -1, 1, 1) / num_cells
    # Summed before the product, whose backward pass keeps it.
    return (phi * share.sum(1, keepdim=True)).sum() / masks.size(0)


@full_precision
def body_loss(logits_s: Tensor,
              logits_t: Tensor,
              masks: Tensor,
              valid: Optional[Tensor] = None,
              tau: float = 1.0) -> Tensor:
    """Body part of BPKD: channel-wise divergence away from the edges.

    `BPKD: Boundary Privileged Knowledge Distillation For Semantic
    Segmentation <https://arxiv.org/abs/2306.08075>`_. It applies
    :func:`channel_wise_divergence` to the logits times (1 - M), the
    complement of the edge masks M. Without edges, it is that loss of the
    unmasked logits.

    Args:
        logits_s (Tensor): Student's logits (N, C, H, W).
        logits_t (Tensor): Teacher's logits (N, C, H, W); no gradient.
        masks (Tensor): Edge masks (N, C, H, W), see :func:`edge_masks`.
        valid (Tensor, optional): Cells with probability mass, (N, 1, H, W).
            Defaults to None, which means all.
        tau (float): Temperature. Defaults to 1.0.

    Returns:
        Tensor: Scalar loss.
    """
    check_logits(logits_s, logits_t, tau)
    body = 1 - masks
    return channel_wise_divergence(logits_s * body, logits_t * body, tau,
                                   valid)
