"""Stand-ins for operators of mmcv that have no code for CPUs.

For :class:`~mmkd.testing.accelerator.PretendedAccelerator`, by the names and
with the arguments of ``mmcv._ext``. They compute what mmcv's do, but for
:func:`_keep_best` and :func:`_leave_empty`.
"""
from itertools import product
from typing import Any, Callable, Dict, List, Sequence

import torch
from torch import Tensor


def _sample_farthest(points: Tensor, temp: Tensor, output: Tensor, b: int,
                     n: int, m: int) -> None:
    """Choose m of the points (B, N, 3), or by distances (B, N, N)."""
    rows = torch.arange(b)
    distance = torch.full((b, n), 1e10)
    chosen = torch.zeros(b, dtype=torch.long)
    for i in range(m):
        output[:, i] = chosen
        if points.size(-1) == n and n > 3:
            new = points[rows, chosen]
        else:
            new = (points - points[rows, chosen][:, None]).square().sum(-1)
        distance = torch.minimum(distance, new)
        chosen = distance.argmax(-1)


def _first_of(mask: Tensor, count: int) -> Tensor:
    """Indices of the first true columns (..., count); the first one fills up
    what is missing, and 0 where there is none."""
    n = mask.size(-1)
    order = torch.where(mask, torch.arange(n), n).sort(-1)[0][..., :count]
    order = torch.nn.functional.pad(
        order, (0, count - order.size(-1)), value=n)
    first = order[..., :1]
    return torch.where(order == n, torch.where(first == n, 0, first), order)


def _ball_query(centres: Tensor, points: Tensor, idx: Tensor,
                min_radius: float, max_radius: float, nsample: int,
                **_: int) -> None:
    square = torch.cdist(centres, points).square()
    near = (square == 0) | ((square >= min_radius**2) &
                            (square < max_radius**2))
    idx.copy_(_first_of(near, nsample))


def _stack_ball_query(centres: Tensor, centre_counts: Tensor, points: Tensor,
                      point_counts: Tensor, idx: Tensor, max_radius: float,
                      nsample: int) -> None:
    parts = zip(
        centres.split(centre_counts.tolist()),
        points.split(point_counts.tolist()), idx.split(centre_counts.tolist()))
    for some, cloud, out in parts:
        near = torch.cdist(some, cloud) < max_radius
        out.copy_(_first_of(near, nsample))
        out[~near.any(-1), 0] = -1


def _stack_group(features: Tensor, counts: Tensor, idx: Tensor,
                 idx_counts: Tensor, output: Tensor, **_: int) -> None:
    parts = zip(
        features.split(counts.tolist()), idx.split(idx_counts.tolist()),
        output.split(idx_counts.tolist()))
    for some, where, out in parts:
        out.copy_(some[where.long().clamp(min=0)].permute(0, 2, 1))


def _gather(features: Tensor, indices: Tensor, output: Tensor,
            **_: int) -> None:
    """Of features (B, C, N), those of points (B, M) or (B, M, K)."""
    flat = indices.long().flatten(1)[:, None].expand(-1, features.size(1), -1)
    output.copy_(features.gather(2, flat).view_as(output))


def _gather_backward(grad: Tensor, indices: Tensor, grad_features: Tensor,
                     **_: int) -> None:
    flat = indices.long().flatten(1)[:, None].expand(-1, grad.size(1), -1)
    grad_features.scatter_add_(2, flat, grad.flatten(2))


def _three_nearest(target: Tensor, source: Tensor, dist2: Tensor, idx: Tensor,
                   **_: int) -> None:
    found, where = torch.cdist(target, source).square().topk(3, largest=False)
    dist2.copy_(found)
    idx.copy_(where)


def _interpolate(features: Tensor, indices: Tensor, weight: Tensor,
                 output: Tensor, **_: int) -> None:
    grouped = output.new_empty((*output.shape, 3))
    _gather(features, indices, grouped)
    output.copy_((grouped * weight[:, None]).sum(-1))


def _interpolate_backward(grad: Tensor, indices: Tensor, weight: Tensor,
                          grad_features: Tensor, **_: int) -> None:
    _gather_backward(grad[..., None] * weight[:, None], indices, grad_features)


def _nearest(points: Tensor, centres: Tensor, idx: Tensor, dist2: Tensor,
             nsample: int, **_: int) -> None:
    found, where = torch.cdist(centres, points).square().topk(
        nsample, largest=False)
    dist2.copy_(found)
    idx.copy_(where)


def _assign_score(points: Tensor, centres: Tensor, scores: Tensor,
                  knn_idx: Tensor, output: Tensor, **_: int) -> None:
    rows = torch.arange(len(points))[:, None, None]
    near = points[rows, knn_idx] - centres[rows, knn_idx[..., :1]]
    output.copy_((near * scores[..., None]).sum(3).permute(0, 3, 1, 2))


def _in_boxes(boxes: Tensor, points: Tensor) -> Tensor:
    """Whether points (B, M, 3) lie in boxes (B, T, 7), as (B, M, T)."""
    shift = points[:, :, None] - boxes[:, None, :, :3]
    cos, sin = boxes[:, None, :, 6].cos(), boxes[:, None, :, 6].sin()
    x = shift[..., 0] * cos + shift[..., 1] * sin
    y = shift[..., 1] * cos - shift[..., 0] * sin
    half = boxes[:, None, :, 3:5] / 2
    return ((x.abs() < half[..., 0]) & (y.abs() < half[..., 1]) &
            (shift[..., 2] >= 0) & (shift[..., 2] <= boxes[:, None, :, 5]))


def _points_in_boxes(boxes: Tensor, points: Tensor, out: Tensor) -> None:
    out.copy_(_in_boxes(boxes, points))


def _box_of_points(boxes: Tensor, points: Tensor, out: Tensor) -> None:
    inside = _in_boxes(boxes, points)
    out.copy_(torch.where(inside.any(-1), inside.long().argmax(-1), -1))


def _pool_in_boxes(points: Tensor, boxes: Tensor, features: Tensor,
                   pooled: Tensor, empty: Tensor) -> None:
    inside = _in_boxes(boxes, points).transpose(1, 2)
    where = _first_of(inside, pooled.size(2))
    rows = torch.arange(len(points))[:, None, None]
    found = torch.cat([points, features], -1)[rows, where]
    pooled.copy_(found * inside.any(-1)[..., None, None])
    empty.copy_(~inside.any(-1))


def _scatter(features: Tensor, coors: Tensor, reduce: str) -> tuple:
    """Reduce the points of each voxel."""
    inside = (coors >= 0).all(-1)
    voxels, index, counts = coors[inside].unique(
        dim=0, return_inverse=True, return_counts=True)
    mapping = coors.new_full((len(coors), ), -1, dtype=torch.int)
    mapping[inside] = index.int()
    found = features.new_zeros((len(voxels), features.size(1)))
    found.scatter_reduce_(
        0,
        index[:, None].expand(-1, features.size(1)),
        features[inside],
        dict(max='amax', sum='sum', mean='mean')[reduce],
        include_self=False)
    return found, voxels, mapping, counts.int()


def _scatter_backward(grad_features: Tensor, grad: Tensor, features: Tensor,
                      found: Tensor, mapping: Tensor, counts: Tensor,
                      reduce: str) -> None:
    inside = mapping >= 0
    index = mapping[inside].long()
    values = grad[index]
    if reduce == 'mean':
        values = values / counts[index][:, None]
    elif reduce == 'max':
        values = values * (features[inside] == found[index])
    grad_features[inside] = values


def _pairs(indices: Tensor, batch_size: int, out_shape: Sequence[int],
           shape: Sequence[int], ksize: Sequence[int], stride: Sequence[int],
           padding: Sequence[int], dilation: Sequence[int],
           out_padding: Sequence[int], subm: int,
           transpose: int) -> List[Tensor]:
    """Pairs of active cells (b, z, y, x) for each cell of a kernel."""
    assert not transpose
    size = torch.tensor([batch_size, *out_shape])
    scale = size.flip(0).cumprod(0).flip(0) // size  # of a cell's number
    found = []
    for cell in product(*map(range, ksize)):
        offset = torch.tensor(cell) * torch.tensor(dilation)
        if subm:
            padding = [k // 2 * d for k, d in zip(ksize, dilation)]
        to = indices[:, 1:] + torch.tensor(padding) - offset
        steps = torch.tensor([1] * len(cell) if subm else stride)
        inside = (to % steps == 0).all(1)
        to = to.div(steps, rounding_mode='floor')
        inside &= ((to >= 0) & (to < size[1:])).all(1)
        rows = inside.nonzero().flatten()
        number = (torch.cat([indices[:, :1], to], 1)[rows] * scale).sum(1)
        found.append((rows, number))
    own = (indices * scale).sum(1)
    numbers, order = own.sort() if subm else (torch.cat(
        [number for _, number in found]).unique(), None)
    pairs = torch.full((len(found), 2, len(indices)), -1, dtype=torch.int)
    counts = torch.zeros(len(found), dtype=torch.int)
    for i, (rows, number) in enumerate(found):
        at = torch.searchsorted(numbers, number).clamp(max=len(numbers) - 1)
        kept = numbers[at] == number
        rows, at = rows[kept], at[kept]
        pairs[i, 0, :len(rows)] = rows.int()
        pairs[i, 1, :len(rows)] = (order[at] if subm else at).int()
        counts[i] = len(rows)
    cells = indices if subm else (numbers[:, None] // scale % size).int()
    return [cells, pairs, counts]


def _convolve(features: Tensor, filters: Tensor, pairs: Tensor, counts: Tensor,
              num_out: int, inverse: int, subm: int) -> Tensor:
    filters = filters.flatten(0, -3)
    out = features.new_zeros((num_out, filters.size(-1)))
    for i, count in enumerate(counts.tolist()):
        source, target = pairs[i, :, :count].long().flip(0) \
            if inverse else pairs[i, :, :count].long()
        out.index_add_(0, target, features[source] @ filters[i])
    return out


def _convolve_backward(features: Tensor, filters: Tensor, grad: Tensor,
                       pairs: Tensor, counts: Tensor, inverse: int,
                       subm: int) -> List[Tensor]:
    grad_features = torch.zeros_like(features)
    grad_filters = torch.zeros_like(filters)
    flat, flat_grad = filters.flatten(0, -3), grad_filters.flatten(0, -3)
    for i, count in enumerate(counts.tolist()):
        source, target = pairs[i, :, :count].long().flip(0) \
            if inverse else pairs[i, :, :count].long()
        grad_features.index_add_(0, source, grad[target] @ flat[i].t())
        flat_grad[i] = features[source].t() @ grad[target]
    return [grad_features, grad_filters]


def _pool(features: Tensor, pairs: Tensor, counts: Tensor,
          num_out: int) -> Tensor:
    out = features.new_zeros((num_out, features.size(1)))
    for i, count in enumerate(counts.tolist()):
        source, target = pairs[i, :, :count].long()
        out[target] = torch.maximum(out[target], features[source])
    return out


def _focal_loss(scores: Tensor, target: Tensor, weight: Tensor, output: Tensor,
                gamma: float, alpha: float) -> None:
    classes = torch.arange(scores.size(1))
    hit = (target[:, None] == classes).float()
    p = scores.sigmoid()
    distance = torch.where(hit > 0, 1 - p, p)
    balance = torch.where(hit > 0, alpha, 1 - alpha)
    output.copy_(balance * distance**gamma *
                 torch.nn.functional.binary_cross_entropy_with_logits(
                     scores, hit, reduction='none'))


def _overlaps(one: Tensor, two: Tensor, out: Tensor) -> None:
    """Common area of boxes (N, 7) and (M, 7) seen from above."""
    from mmcv.ops import box_iou_rotated
    areas = [boxes[:, 3] * boxes[:, 4] for boxes in (one, two)]
    iou = box_iou_rotated(*(boxes[:, [0, 1, 3, 4, 6]].contiguous()
                            for boxes in (one, two)))
    out.copy_(iou * (areas[0][:, None] + areas[1]) / (1 + iou))


def _keep_best(boxes: Tensor, keep: Tensor, num_out: Tensor,
               nms_overlap_thresh: float) -> None:
    """Keep the first 100 boxes, without a suppression."""
    count = min(len(boxes), 100)
    keep[:count] = torch.arange(count)
    num_out.fill_(count)


def _leave_empty(*args: Any, **kwargs: Any) -> None:
    """Leave the output as it is, which is zeros."""


KERNELS: Dict[str, Callable] = dict(
    furthest_point_sampling_forward=_sample_farthest,
    furthest_point_sampling_with_dist_forward=_sample_farthest,
    ball_query_forward=_ball_query,
    stack_ball_query_forward=_stack_ball_query,
    stack_group_points_forward=_stack_group,
    gather_points_forward=_gather,
    gather_points_backward=_gather_backward,
    group_points_forward=_gather,
    group_points_backward=_gather_backward,
    three_nn_forward=_three_nearest,
    three_interpolate_forward=_interpolate,
    three_interpolate_backward=_interpolate_backward,
    knn_forward=_nearest,
    assign_score_withk_forward=_assign_score,
    points_in_boxes_all_forward=_points_in_boxes,
    points_in_boxes_part_forward=_box_of_points,
    roipoint_pool3d_forward=_pool_in_boxes,
    roiaware_pool3d_forward=_leave_empty,
    dynamic_point_to_voxel_forward=_scatter,
    dynamic_point_to_voxel_backward=_scatter_backward,
    get_indice_pairs_3d_forward=_pairs,
    indice_conv_forward=_convolve,
    indice_conv_backward=_convolve_backward,
    indice_maxpool_forward=_pool,
    sigmoid_focal_loss_forward=_focal_loss,
    iou3d_boxes_overlap_bev_forward=_overlaps,
    iou3d_nms3d_forward=_keep_best,
    iou3d_nms3d_normal_forward=_keep_best)
