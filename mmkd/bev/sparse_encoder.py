"""Sparse convolutions on a CPU."""
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Dict, List, Sequence, Tuple, Union

import torch
from mmdet3d.models.layers.sparse_block import SparseBasicBlock
from mmdet3d.models.layers.spconv import IS_SPCONV2_AVAILABLE
from mmdet3d.models.middle_encoders import SparseEncoder as _SparseEncoder
from torch import Tensor, nn

from mmkd.registry import MODELS

# Pairs of input and output rows for each cell of a kernel.
Pairs = List[Tuple[Tensor, Tensor]]


@dataclass
class _Sparse:
    """Features of the active cells of a batch of grids.

    Attributes:
        features (Tensor): (M, C).
        coors (Tensor): Sample and cell ``(b, z, y, x)``, int64, (M, 4).
        shape (list[int]): Cells of the grid along z, y and x.
        batch_size (int): Number of samples.
        pairs (dict): Pairs of submanifold convolutions on these cells, by
            kernel; computed once for all layers of a stage.
    """
    features: Tensor
    coors: Tensor
    shape: List[int]
    batch_size: int
    pairs: Dict[tuple, Pairs] = field(default_factory=dict)

    def keys(self, coors: Tensor) -> Tensor:
        """One number for each cell (M, 4)."""
        depth, height, width = self.shape
        batch, z, y, x = coors.unbind(dim=1)
        return ((batch * depth + z) * height + y) * width + x

    def dense(self) -> Tensor:
        """Dense features (B, C, D, H, W), 0 in inactive cells."""
        channels = self.features.size(1)
        cells = self.shape[0] * self.shape[1] * self.shape[2]
        grid = self.features.new_zeros((self.batch_size * cells, channels))
        grid = grid.index_copy(0, self.keys(self.coors), self.features)
        return grid.view(self.batch_size, *self.shape,
                         channels).permute(0, 4, 1, 2, 3).contiguous()


@MODELS.register_module()
class SparseEncoder(_SparseEncoder):
    """mmdet3d's sparse encoder, which runs and trains on a CPU as well.

    With it, SECOND and voxel-based CenterPoint need neither CUDA nor a sparse
    convolution package: ``middle_encoder=dict(type='mmkd.SparseEncoder',
    ...)``. Arguments, weights and results are those of mmdet3d's class, which
    processes tensors on other devices. On a CPU, each cell of a kernel is one
    gather, one matrix product and one scatter in plain PyTorch.
    """

    def forward(
            self, voxel_features: Tensor, coors: Tensor,
            batch_size: Union[int,
                              Tensor]) -> Union[Tensor, Tuple[Tensor, list]]:
        """Encode voxels as a map in bird's-eye view.

        Args:
            voxel_features (Tensor): (M, C).
            coors (Tensor): Sample and cell ``(b, z, y, x)``, integer,
                (M, 4).
            batch_size (int | Tensor): Number of samples B.

        Returns:
            Tensor: (B, C' * D, H, W), and a list of what the stages give, as
            (features, coordinates), if ``return_middle_feats`` is set.
        """
        if voxel_features.device.type != 'cpu':
            return super().forward(voxel_features, coors, batch_size)
        with torch.autocast('cpu', enabled=False):
            x = _Sparse(voxel_features.float(), coors.long(),
                        list(self.sparse_shape), int(batch_size))
            x = _run(self.conv_input, x)
            middle = []
            for stage in self.encoder_layers:
                x = _run(stage, x)
                middle.append((x.features, x.coors))
            grid = _run(self.conv_out, x).dense()
        maps = grid.flatten(1, 2)
        return (maps, middle) if self.return_middle_feats else maps


def _run(module: nn.Module, x: _Sparse) -> _Sparse:
    """Apply mmdet3d's sparse modules."""
    if hasattr(module, 'subm'):
        return _convolve(module, x)
    if isinstance(module, SparseBasicBlock):
        out = _on_features(module.norm1, _run(module.conv1, x))
        out = _run(module.conv2, _on_features(module.relu, out))
        out = _on_features(module.norm2, out)
        return _with(out, module.relu(out.features + x.features))
    children = list(module.children())
    if not children:
        return _on_features(module, x)
    for child in children:
        x = _run(child, x)
    return x


def _with(x: _Sparse, features: Tensor) -> _Sparse:
    """A copy with other features in the same cells."""
    return _Sparse(features, x.coors, x.shape, x.batch_size, x.pairs)


def _on_features(module: nn.Module, x: _Sparse) -> _Sparse:
    return _with(x, module(x.features)) if len(x.features) else x


def _convolve(conv: Any, x: _Sparse) -> _Sparse:
    """A sparse convolution; the sum runs only over active cells."""
    weight = conv.weight
    if IS_SPCONV2_AVAILABLE:  # (C', kz, ky, kx, C)
        weight = weight.permute(1, 2, 3, 4, 0)
    weight = weight.flatten(0, 2)  # (cells of the kernel, C, C')
    kernel, stride, padding, dilation = (
        list(value) for value in (conv.kernel_size, conv.stride, conv.padding,
                                  conv.dilation))
    if conv.subm:
        stride = [1, 1, 1]
        padding = [d * (k // 2) for k, d in zip(kernel, dilation)]
        name = (*kernel, *dilation)
        if name not in x.pairs:
            x.pairs[name] = _find_pairs(x, x, kernel, stride, padding,
                                        dilation)
        out, pairs = x, x.pairs[name]
    else:
        out = _output_cells(x, kernel, stride, padding, dilation)
        pairs = _find_pairs(x, out, kernel, stride, padding, dilation)
    features = x.features.new_zeros((len(out.coors), weight.size(2)))
    for (rows_in, rows_out), part in zip(pairs, weight):
        if len(rows_in):
            features.index_add_(0, rows_out,
                                x.features.index_select(0, rows_in) @ part)
    if conv.bias is not None:
        features = features + conv.bias
    return _with(out, features)


def _output_cells(x: _Sparse, kernel: Sequence[int], stride: Sequence[int],
                  padding: Sequence[int], dilation: Sequence[int]) -> _Sparse:
    """The output cells of a strided convolution, without features."""
    shape = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(x.shape, kernel, stride, padding, dilation)
    ]
    limit = x.coors.new_tensor(shape)
    step = x.coors.new_tensor(stride)
    reached = []
    for offset in _offsets(kernel, padding, dilation, x.coors):
        cells = x.coors[:, 1:] - offset
        inside = ((cells % step == 0) & (cells >= 0) &
                  (cells < limit * step)).all(dim=1)
        reached.append(
            torch.cat([x.coors[inside, :1], cells[inside] // step], dim=1))
    out = _Sparse(x.features, torch.cat(reached), shape, x.batch_size)
    keys = out.keys(out.coors).unique()
    depth, height, width = shape
    out.coors = torch.stack([
        keys // (depth * height * width), keys //
        (height * width) % depth, keys // width % height, keys % width
    ], 1)
    return out


def _find_pairs(x: _Sparse, out: _Sparse, kernel: Sequence[int],
                stride: Sequence[int], padding: Sequence[int],
                dilation: Sequence[int]) -> Pairs:
    keys, order = x.keys(x.coors).sort()
    limit = x.coors.new_tensor(x.shape)
    first = out.coors[:, 1:] * x.coors.new_tensor(stride)
    pairs = []
    for offset in _offsets(kernel, padding, dilation, x.coors):
        cells = first + offset
        inside = ((cells >= 0) & (cells < limit)).all(dim=1)
        rows_out = inside.nonzero().squeeze(1)
        wanted = x.keys(
            torch.cat([out.coors[rows_out, :1], cells[rows_out]], dim=1))
        if not len(keys):
            pairs.append((rows_out[:0], rows_out[:0]))
            continue
        at = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        active = keys[at] == wanted
        pairs.append((order[at[active]], rows_out[active]))
    return pairs


def _offsets(kernel: Sequence[int], padding: Sequence[int],
             dilation: Sequence[int], like: Tensor) -> Tensor:
    """From an output cell's first corner to each cell of the kernel,
    (cells, 3)."""
    corners = product(*(range(k) for k in kernel))
    return like.new_tensor(
        [[i * d - p for i, d, p in zip(corner, dilation, padding)]
         for corner in corners])
