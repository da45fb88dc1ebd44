"""From the feature maps of cameras to one map in bird's-eye view."""
from abc import abstractmethod
from typing import Optional, Sequence, Tuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmkd.bev.depth import DepthBins
from mmkd.bev.geometry import CameraGeometry
from mmkd.bev.grid import BEVGrid
from mmkd.bev.pooling import METHODS, LiftIndex, candidates, lift_pool
from mmkd.errors import ConfigError
from mmkd.ops.constants import constant
from mmkd.registry import MODELS
from mmkd.utils.devices import send


class ViewTransform(BaseModule):
    """Base class of both lifts: depth, context, and the sum over cells.

    A 1x1 convolution predicts D depth logits and C context channels for each
    pixel. Subclasses define the cells to which their product is added.

    Args:
        in_channels (int): Channels of the feature maps.
        out_channels (int): Channels C of a cell of the map; with nz cells in
            height the map has ``nz * C``, channel ``iz * C + c``.
        point_cloud_range (Sequence[float]): Range of the grid; see
            :class:`BEVGrid`.
        voxel_size (Sequence[float]): Size of its cells.
        depth (dict): Arguments of :class:`DepthBins`: ``low``, ``high``,
            ``num`` and optionally ``mode``.
        ignore_bin (bool): Whether to add a class for depths outside all
            bins, whose probability is dropped, as in CaDDN. Defaults to
            False.
        pooling (str): ``'fused'`` or ``'index_add'``; see
            :func:`~mmkd.bev.pooling.lift_pool`. Defaults to ``'fused'``.
        reuse_index (bool): Whether to reuse the index of the last batch while
            all matrices stay the same: for fixed cameras without
            augmentation, as in deployment. Defaults to False.
        init_cfg (dict, optional): Initialisation. Defaults to None.

    Raises:
        ConfigError: If an argument makes no sense.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 point_cloud_range: Sequence[float],
                 voxel_size: Sequence[float],
                 depth: dict,
                 ignore_bin: bool = False,
                 pooling: str = 'fused',
                 reuse_index: bool = False,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        if pooling not in METHODS:
            raise ConfigError(f'pooling is one of {", ".join(METHODS)}, not '
                              f'{pooling!r}')
        self.grid = BEVGrid(point_cloud_range, voxel_size)
        self.bins = DepthBins(**depth)
        self.out_channels = out_channels
        self.pooling = pooling
        self.reuse_index = reuse_index
        self._num_logits = self.bins.num + bool(ignore_bin)
        self.depth_net = nn.Conv2d(in_channels,
                                   self._num_logits + out_channels, 1)
        self._kept: Optional[Tuple[CameraGeometry, tuple, LiftIndex]] = None

    @abstractmethod
    def make_index(self, geometry: CameraGeometry,
                   size: Tuple[int, int]) -> LiftIndex:
        """Compute which pixel and depth belong to which cell.

        Args:
            geometry (CameraGeometry): The cameras of the batch.
            size (tuple[int, int]): Height h and width w of the feature maps.

        Returns:
            LiftIndex: For the pixels of the (B * N, D, h, w) depth maps and
            the cells of the (B, nz, ny, nx) grid, both in this order.
        """

    def index(self, geometry: CameraGeometry, size: Tuple[int,
                                                          int]) -> LiftIndex:
        """The cached index, or a new one from :meth:`make_index`."""
        if not self.reuse_index:
            return self.make_index(geometry, size)
        key = (tuple(size), geometry.device)
        if self._kept is None or self._kept[1] != key or \
                not geometry.same_as(self._kept[0]):
            self._kept = (geometry, key, self.make_index(geometry, size))
        return self._kept[2]

    def forward(self,
                feat: Tensor,
                geometry: CameraGeometry,
                depth: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """Lift the features of all cameras into one map.

        Args:
            feat (Tensor): Feature maps (B * N, C_in, h, w), the cameras of a
                sample in turn.
            geometry (CameraGeometry): The B * N cameras.
            depth (Tensor, optional): Distribution over the bins of each
                pixel, (B * N, D, h, w), in place of the predicted one, such
                as :meth:`DepthBins.one_hot` of the true depth. Defaults to
                None.

        Returns:
            tuple[Tensor, Tensor]: The map (B, nz * C, ny, nx), in float32 or
            better, and the depth logits (B * N, D, h, w), with one more
            class if ``ignore_bin``.
        """
        batch, cameras = geometry.cam2img.shape[:2]
        if feat.size(0) != batch * cameras:
            raise ConfigError(f'{feat.size(0)} feature maps do not belong to '
                              f'{batch} samples of {cameras} cameras')
        logits, context = self.depth_net(feat).split(
            [self._num_logits, self.out_channels], 1)
        if depth is None:
            depth = logits.float() if logits.dtype in (
                torch.float16, torch.bfloat16) else logits
            depth = depth.softmax(1)[:, :self.bins.num]
        index = self.index(geometry, tuple(feat.shape[-2:]))
        cells = lift_pool(
            depth.to(torch.promote_types(depth.dtype, context.dtype)), context,
            index, self.pooling)
        nz, ny, nx = self.grid.shape
        bev = cells.view(batch, nz, ny, nx, self.out_channels)
        return bev.permute(0, 1, 4, 2, 3).flatten(1, 2).contiguous(), logits


@MODELS.register_module()
class LSSViewTransform(ViewTransform):
    """Lift-splat: adds each depth of each pixel to the cell that contains it.

    Philion, Fidler, ECCV 2020 (arXiv 2008.05711). A cell holds the sum, not
    the mean, of its entries; a cell without entries is exactly 0.

    Args:
        *args: Arguments of :class:`ViewTransform`.
        pixels (str): Image position of a feature: ``'linspace'``, spread
            from the first pixel to the last one as in the released code; or
            ``'centre'``, the centre of the pixels that it covers. Defaults to
            ``'linspace'``.
        depths (str): Depth of a bin: ``'edge'``, its near edge as in the
            released code; or ``'centre'``. Defaults to ``'edge'``.
        rounding (str): ``'floor'``, or ``'trunc'`` as in the released code;
            see :meth:`BEVGrid.index`. Defaults to ``'floor'``.
        **kwargs: As of :class:`ViewTransform`.
    """

    def __init__(self,
                 *args,
                 pixels: str = 'linspace',
                 depths: str = 'edge',
                 rounding: str = 'floor',
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        for name, value, known in (('pixels', pixels, ('linspace', 'centre')),
                                   ('depths', depths, ('edge', 'centre')),
                                   ('rounding', rounding, ('floor', 'trunc'))):
            if value not in known:
                raise ConfigError(
                    f'{name} is {" or ".join(known)}, not {value!r}')
        self.pixels, self.depths, self.rounding = pixels, depths, rounding

    def frustum(self,
                image_size: Tuple[int, int],
                size: Tuple[int, int],
                device: Optional[torch.device] = None) -> Tensor:
        """Positions of the features and bins of a camera.

        Args:
            image_size (tuple[int, int]): Height and width of the image.
            size (tuple[int, int]): Those of the feature map.
            device (torch.device, optional): Device of the result.

        Returns:
            Tensor: (D, h, w, 3): u', v' in pixels, d in metres; float64.
        """
        axes = []
        common = dict(dtype=torch.float64, device=device)
        for pixels, cells in zip(image_size, size):
            if self.pixels == 'linspace':
                axes.append(torch.linspace(0, pixels - 1, cells, **common))
            else:
                stride = pixels / cells
                axes.append((torch.arange(cells, **common) + .5) * stride - .5)
        edges = self.bins.edges(device)
        depths = edges[:-1] if self.depths == 'edge' else (edges[1:] +
                                                           edges[:-1]) / 2
        d, v, u = torch.meshgrid(depths, *axes, indexing='ij')
        return torch.stack([u, v, d], -1)

    @torch.no_grad()
    def make_index(self, geometry: CameraGeometry,
                   size: Tuple[int, int]) -> LiftIndex:
        """See :meth:`ViewTransform.make_index`."""
        device = geometry.device
        frustum = self.frustum(geometry.image_size, size, device).view(-1, 3)
        cell = self.grid.index(
            geometry.unproject(frustum.float()), self.rounding)
        used = (cell >= 0).flatten()
        batch, cameras, _ = cell.shape
        sample = torch.arange(batch, device=device).view(-1, 1, 1)
        cell = (cell + sample * self.grid.num_cells).flatten()
        entry = torch.arange(len(cell), device=device)
        height, width = size
        per_bin = height * width
        # A depth map is (M, D, h, w) and the table of pixels (M, h, w).
        camera = entry // (self.bins.num * per_bin)
        return LiftIndex(
            cell,
            camera * per_bin + entry % per_bin,
            entry,
            batch * self.grid.num_cells,
            batch * cameras * per_bin,
            used=used)


@MODELS.register_module()
class SamplingViewTransform(ViewTransform):
    """Backward lift: each cell samples the frustum at its projected centre.

    As in CaDDN (Reading et al., CVPR 2021, arXiv 2103.01100) and MonoTAKD,
    the centre of a voxel is projected, and the product of depth and context
    is interpolated there over columns, rows and bins; it is 0 outside the
    image and the bins. Several cameras add up. The interpolation is that of
    ``grid_sample(align_corners=False)`` at ``2 u / (W - 1) - 1``, ``2 v / (H
    - 1) - 1`` and ``2 b / (D - 1) - 1``, as in the released code.

    Args:
        *args: As of :class:`ViewTransform`.
        **kwargs: As of :class:`ViewTransform`.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.bins.num < 2:
            raise ConfigError('the backward lift needs two depth bins at '
                              'least, to interpolate between them')

    @torch.no_grad()
    def make_index(self, geometry: CameraGeometry,
                   size: Tuple[int, int]) -> LiftIndex:
        """See :meth:`ViewTransform.make_index`."""
        device = geometry.device
        batch, cameras = geometry.cam2img.shape[:2]
        points = self.grid.centres(device).view(-1, 3)
        u, v, d = geometry.project(points).unbind(-1)
        d = d - send(geometry.cam2img[:, :, 2, 3, None].to(d.dtype), device)
        num = self.bins.num
        height, width = size
        # Columns, rows and bins, each counted from the centre of the first.
        place = torch.stack([u, v, self.bins.position(d)], -1)
        bounds = constant([width, height, num], place)
        last = constant(
            [geometry.image_size[1] - 1, geometry.image_size[0] - 1, num - 1],
            place)
        place = place / last * bounds - .5
        seen = (d > 0) & (place > -1).all(-1) & (place < bounds).all(-1)
        rows = candidates(seen.flatten())
        place = place.flatten(0, 2)[rows, None]
        corner = torch.cartesian_prod(*[torch.arange(2, device=device)] * 3)
        corner = place.floor().long() + corner
        weight = (1 - (place - corner).abs()).prod(-1)
        bounds = bounds.long()
        used = ((corner >= 0) & (corner < bounds)).all(-1) & (weight > 0)
        used &= seen.flatten()[rows, None]
        column, row, bin_ = (corner % bounds).unbind(-1)
        image = (rows // self.grid.num_cells)[:, None]
        cell = (
            rows // (cameras * self.grid.num_cells) * self.grid.num_cells +
            rows % self.grid.num_cells)
        return LiftIndex(cell[:, None].expand_as(row).flatten(),
                         ((image * height + row) * width + column).flatten(),
                         (((image * num + bin_) * height + row) * width +
                          column).flatten(), batch * self.grid.num_cells,
                         batch * cameras * height * width,
                         weight.where(used, 0.).flatten(), used.flatten())
