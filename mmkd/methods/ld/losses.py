"""Regions and divergence of LD."""
from typing import List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou, distance_box_iou

from mmkd.ops.precision import full_precision


@full_precision
def mean_divergence(logits_s: Tensor, logits_t: Tensor, tau: float) -> Tensor:
    r"""KL divergence of the last dimension, times tau squared.

    `Localization Distillation for Dense Object Detection
    <https://arxiv.org/abs/2102.12252>`_, averaged over the bins (or classes),
    as in the released code:

    .. math::
        D = \tau^2 \, \mathrm{mean}_b \, p^T_b (\log p^T_b - \log p^S_b),
        \quad p = \mathrm{softmax}(z / \tau)

    Args:
        logits_s (Tensor): Student's logits (..., B).
        logits_t (Tensor): Teacher's logits (..., B); no gradient.
        tau (float): Temperature.

    Returns:
        Tensor: (...).
    """
    log_s = F.log_softmax(logits_s / tau, dim=-1)
    log_t = F.log_softmax(logits_t.detach() / tau, dim=-1)
    divergence = F.kl_div(log_s, log_t, reduction='none', log_target=True)
    return tau**2 * divergence.mean(-1)


@torch.no_grad()
def valuable_region(anchors: Sequence[Tensor],
                    inside: Tensor,
                    boxes: Tensor,
                    lower: float = 0.25,
                    topk: int = 9,
                    released: bool = False) -> Tensor:
    """Weights of the anchors in the valuable localization region of an image.

    `Localization Distillation for Object Detection
    <https://arxiv.org/abs/2204.05957>`_. The threshold of an object is that
    of ATSS, the mean and the unbiased deviation of the IoU of the anchors
    that are nearest to its centre in each level. Its region holds all anchors
    whose DIoU is ``lower`` times the threshold at least, and below it. The
    weight is the largest IoU with an object in whose region an anchor is.

    Args:
        anchors (Sequence[Tensor]): Anchors (n, 4) of each level.
        inside (Tensor): Which anchors of all levels count, (M, ), bool: those
            inside of the image.
        boxes (Tensor): Objects (G, 4).
        lower (float): See above. Defaults to 0.25.
        topk (int): Nearest anchors of a level. Defaults to 9.
        released (bool): Whether DIoU is computed as in the released code,
            which divides the overlap by the area of the anchor. Defaults to
            False.

    Returns:
        Tensor: (M, ), 0 outside of the region.
    """
    every = torch.cat(list(anchors))
    boxes = boxes.to(every)
    if not len(boxes):
        return every.new_zeros(len(every))
    iou = box_iou(every, boxes)
    diou = distance_box_iou(every, boxes)
    if released:
        from mmdet.structures.bbox import bbox_overlaps
        diou = diou - iou + bbox_overlaps(every, boxes, mode='iof')
    centres = (every[:, None, :2] + every[:, None, 2:] - boxes[:, :2] -
               boxes[:, 2:]) / 2
    distance = centres.square().sum(-1).masked_fill(~inside[:, None],
                                                    torch.inf)
    found: List[Tensor] = []
    begin = 0
    for level in anchors:
        near = distance[begin:begin + len(level)].topk(
            min(topk, len(level)), dim=0, largest=False)
        # A level may have fewer anchors inside.
        found.append(iou[begin:begin + len(level)].gather(
            0, near.indices).masked_fill(near.values.isinf(), torch.nan))
        begin += len(level)
    candidates = torch.cat(found)
    mean = candidates.nanmean(0)
    count = (~candidates.isnan()).sum(0)
    # A single candidate has no deviation.
    variance = (candidates - mean).square().nansum(0) / (count -
                                                         1).clamp(min=1)
    threshold = (mean + variance.sqrt()).nan_to_num(torch.inf)
    region = (diou >= lower * threshold) & (diou < threshold)
    return (iou * (region & inside[:, None])).amax(1)


@torch.no_grad()
def imitated_cells(anchors: Sequence[Tensor], boxes: Tensor,
                   region: str) -> Tensor:
    """The cells of an image whose features are imitated.

    Args:
        anchors (Sequence[Tensor]): Anchors (n, 4) of each level, one a cell.
        boxes (Tensor): Objects (G, 4).
        region (str): ``'finegrained'``, anchors whose IoU with an object is
            above half of the best one of the object; or ``'fitnet'``, those
            with their centre in an object.

    Returns:
        Tensor: (M, ), bool.
    """
    every = torch.cat(list(anchors))
    boxes = boxes.to(every)
    if not len(boxes):
        return every.new_zeros(len(every), dtype=torch.bool)
    if region == 'fitnet':
        centres = (every[:, None, :2] + every[:, None, 2:]) / 2
        inside = (centres > boxes[:, :2]) & (centres < boxes[:, 2:])
        return inside.all(-1).any(1)
    iou = box_iou(every, boxes)
    return (iou > iou.amax(0) / 2).any(1)


@full_precision
def imitation_loss(feat_s: Tensor, feat_t: Tensor, cells: Tensor) -> Tensor:
    """Squared difference of features, averaged over cells and channels.

    Args:
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's, of the same shape; no gradient.
        cells (Tensor): Cells to include, (N, H * W), bool.

    Returns:
        Tensor: Scalar; 0 without cells.
    """
    distance = (feat_s - feat_t.detach()).square().mean(1).flatten(1)
    return (distance * cells).sum() / cells.sum().clamp(min=1)
