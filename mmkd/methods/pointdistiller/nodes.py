"""Reading the nodes of both networks in the same order."""
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.pointdistiller.graphs import match_voxels, points_per_voxel
from mmkd.methods.pointdistiller.options import PointDistillerOptions
from mmkd.ops.connectors import match_size

#: Indices of the taps of a level's features and of their coordinates.
Level = Tuple[int, Optional[int]]


class Nodes(NamedTuple):
    """The nodes of a level, in the same order for both networks.

    Attributes:
        feat_s (Tensor): Student's features, (M, C_s).
        feat_t (Tensor): Teacher's features, (M, C_t).
        importance (Tensor): Importance of each node, from the teacher, (M, ).
        sizes (list[int]): Numbers of consecutive nodes that form a group: all
            of the batch, or those of each scan.
        rows (Tensor): Indices of the nodes in the teacher's tensor, numbered
            consecutively over the scans, (M, ).
    """
    feat_s: Tensor
    feat_t: Tensor
    importance: Tensor
    sizes: List[int]
    rows: Tensor


class NodeReader:
    """Read the nodes of a level from the tensors of both networks.

    Args:
        kind (str): ``'voxels'`` (M, C), ``'cells'`` (B, C, H, W) or
            ``'points'`` (B, C, P).
        options (PointDistillerOptions): The resolved options.
        levels_s (list[tuple]): The student's levels; see
            :func:`find_levels`.
        levels_t (list[tuple]): The teacher's levels, of equal number.
    """

    def __init__(self, kind: str, options: PointDistillerOptions,
                 levels_s: List[Level], levels_t: List[Level]) -> None:
        self.kind = kind
        self.options = options
        self.levels_s = levels_s
        self.levels_t = levels_t

    def read(self, level: int, student: List[Tensor], teacher: List[Tensor],
             inputs_s: Any, inputs_t: Any) -> Nodes:
        """Read the nodes of a level in the same order for both networks.

        Args:
            level (int): The level.
            student (list[Tensor]): The student's tensors, one per tap.
            teacher (list[Tensor]): The teacher's.
            inputs_s (dict): Prepared inputs of the student.
            inputs_t (dict): Prepared inputs of the teacher.

        Raises:
            ConfigError: If the nodes of both networks do not correspond.
        """
        (at_s, beside_s), (at_t, beside_t) = (self.levels_s[level],
                                              self.levels_t[level])
        feat_s, feat_t = student[at_s], teacher[at_t].detach()
        if self.kind != 'voxels':
            return self._dense_nodes(feat_s, feat_t)
        voxels_s = _voxels(inputs_s)
        voxels_t = _voxels(inputs_t)
        counts = voxels_t.get('num_points')
        coors_s, coors_t = voxels_s.get('coors'), voxels_t.get('coors')
        # A dynamic encoder also returns the coordinates of its rows; those
        # of the batch then belong to points.
        if beside_s is not None:
            coors_s = student[beside_s]
        if beside_t is not None:
            if self.options.importance == 'count':
                counts = points_per_voxel(
                    _needed(coors_t, "importance='count'"), teacher[beside_t])
            coors_t = teacher[beside_t]
        rows_t = torch.arange(len(feat_t), device=feat_t.device)
        if self.options.align == 'coors':
            rows_s, rows_t = match_voxels(
                _needed(coors_s, "align='coors'"),
                _needed(coors_t, "align='coors'"))
            feat_s = feat_s.index_select(0, rows_s)
        elif len(feat_s) != len(feat_t) or _differ(coors_s, coors_t):
            raise ConfigError(
                f'PointDistiller: the {len(feat_s)} voxels of the student '
                f'and the {len(feat_t)} of the teacher are not the same ones '
                'row by row, so the networks voxelise differently; give both '
                "the same voxel layer, or set align='coors'")
        sizes = [len(rows_t)]
        if self.options.scope == 'sample':
            scans = _needed(coors_t, "scope='sample'")[rows_t, 0].long()
            order = scans.argsort(stable=True)
            sizes = scans.bincount().tolist()
            rows_t = rows_t[order]
            feat_s = feat_s.index_select(0, order)
        feat_t = feat_t[rows_t]
        if self.options.importance == 'count':
            importance = _needed(counts, "importance='count'")[rows_t]
        else:
            importance = self._importance_of(feat_t)
        return Nodes(feat_s, feat_t, importance, sizes, rows_t)

    def _dense_nodes(self, feat_s: Tensor, feat_t: Tensor) -> Nodes:
        if self.options.align == 'bev':
            feat_s = match_size(feat_s, feat_t)
        if feat_s.shape[2:] != feat_t.shape[2:]:
            raise ConfigError(
                f'PointDistiller: {tuple(feat_s.shape[2:])} nodes in the '
                f'student and {tuple(feat_t.shape[2:])} in the teacher')
        feat_s, feat_t = (
            feat.flatten(2).transpose(1, 2) for feat in (feat_s, feat_t))
        num_scans, num_nodes = feat_t.shape[:2]
        feat_s, feat_t = feat_s.flatten(0, 1), feat_t.flatten(0, 1)
        sizes = [num_scans * num_nodes]
        if self.options.scope == 'sample':
            sizes = [num_nodes] * num_scans
        return Nodes(feat_s, feat_t, self._importance_of(feat_t), sizes,
                     torch.arange(len(feat_t), device=feat_t.device))

    def _importance_of(self, feat_t: Tensor) -> Tensor:
        if self.options.importance == 'abs_mean':
            return feat_t.abs().mean(dim=1)
        return feat_t.amax(dim=1)

    def places(self, level: int, teacher: List[Tensor], nodes: Nodes,
               inputs_t: Any) -> Tuple[Tensor, Tensor, bool]:
        """Positions of nodes, for visualization.

        Args:
            level (int): The level.
            teacher (list[Tensor]): The teacher's tensors, one per tap.
            nodes (Nodes): The nodes of the level.
            inputs_t (dict): Prepared inputs of the teacher.

        Returns:
            tuple[Tensor, Tensor, bool]: Positions in bird's-eye view,
            (M, 2); index of the scan of each node, (M, ); and whether the
            positions are in metres (instead of cells).
        """
        at, beside = self.levels_t[level]
        feat = teacher[at]
        metric = self.kind == 'points'
        if self.kind == 'voxels':
            voxels = _voxels(inputs_t)
            coors = voxels.get('coors') if beside is None else teacher[beside]
            scans = feat.new_zeros(len(feat), dtype=torch.long)
            places = scans[:, None].expand(-1, 2).float()
            if coors is not None:
                scans, places = coors[:, 0].long(), coors[:, [3, 2]].float()
            if 'voxel_centers' in voxels and beside is None:
                places, metric = voxels['voxel_centers'][:, :2], True
            places, scans = places[nodes.rows], scans[nodes.rows]
        else:
            num_nodes = len(nodes.rows) // len(feat)
            scans = nodes.rows // num_nodes
            cells = nodes.rows % num_nodes
            if self.kind == 'cells':
                width = feat.size(3)
                places = torch.stack([cells % width, cells // width], 1) + 0.5
            else:
                clouds = inputs_t['points']
                places = torch.cat([cloud[:, :2] for cloud in clouds])
        return places, scans, metric


def find_levels(specs: Sequence[TapSpec]) -> List[Level]:
    """Find the tap of each level's features, and of the coordinates that a
    dynamic encoder returns after them.

    Raises:
        ConfigError: If a tap has integers that are not coordinates.
    """
    levels: List[Level] = []
    for i, spec in enumerate(specs):
        if spec.dtype.is_floating_point:
            levels.append((i, None))
        elif levels and spec.shape[1:] == (4, ):
            levels[-1] = (levels[-1][0], i)
        else:
            raise ConfigError(f'PointDistiller: {spec.path!r} gives integers '
                              f'of the shape {spec.shape}, and no features')
    return levels


def kind_of(spec: TapSpec) -> str:
    """Kind of the nodes of a tap.

    Raises:
        ConfigError: If its shape matches no kind.
    """
    kinds = {2: 'voxels', 3: 'points', 4: 'cells'}
    if len(spec.shape) not in kinds:
        raise ConfigError(
            'PointDistiller reads voxels (M, C), points (B, C, P) or maps '
            f'(B, C, H, W), but {spec.path!r} gives the shape {spec.shape}')
    return kinds[len(spec.shape)]


def check_level(spec_s: TapSpec, spec_t: TapSpec, kind: str,
                align: str) -> None:
    """Check that the nodes of a level can be matched.

    Raises:
        ConfigError: If not; the message names the tap.
    """
    if align == 'bev' and kind != 'cells':
        raise ConfigError(
            "PointDistiller: align='bev' resizes maps (B, C, H, W), but "
            f'{spec_s.path!r} gives the shape {spec_s.shape}; voxels of '
            'other sizes have no common rows: tap maps behind them, such '
            "as 'backbone[0:2]'")
    size_s, size_t = spec_s.shape[2:], spec_t.shape[2:]
    if size_s != size_t and align != 'bev':
        raise ConfigError(
            f'PointDistiller: {spec_s.path!r} of the student has '
            f'{"x".join(map(str, size_s))} nodes and {spec_t.path!r} of '
            f'the teacher {"x".join(map(str, size_t))}' +
            ("; align='bev' resizes maps" if kind == 'cells' else ''))


def _voxels(inputs: Any) -> Dict[str, Tensor]:
    voxels = inputs.get('voxels') if isinstance(inputs, dict) else None
    return voxels or {}


def _needed(value: Optional[Tensor], what: str) -> Tensor:
    if value is None:
        raise ConfigError(
            f'PointDistiller: {what} needs the voxels of the batch '
            "(`inputs['voxels']`), but there are none; for features of a "
            "batch without them set importance='max' and scope='batch'")
    return value


def _differ(first: Optional[Tensor], second: Optional[Tensor]) -> bool:
    """Whether rows are known to belong to different voxels.

    Values are compared on the CPU only: elsewhere this would wait for the
    device in every step, and networks that share their preprocessing share
    the tensor.
    """
    if first is None or second is None or first is second:
        return False
    return first.shape != second.shape or (first.device.type == 'cpu'
                                           and not torch.equal(first, second))
