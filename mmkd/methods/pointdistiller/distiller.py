"""Structured distillation of LiDAR detectors (PointDistiller)."""
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from mmkd.core.distiller import Distiller, StepBatch
from mmkd.core.features import pick_family
from mmkd.core.logits import check_tau
from mmkd.core.schedule import WeightLike
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Points, Visual
from mmkd.errors import ConfigError
from mmkd.methods.pointdistiller.edge_conv import EdgeConv
from mmkd.methods.pointdistiller.graphs import (centre_weights, choose_centres,
                                                match_voxels, nearest_nodes,
                                                points_per_voxel)
from mmkd.ops.connectors import match_size
from mmkd.ops.masks import zero_like_graph
from mmkd.ops.precision import full_precision
from mmkd.registry import DISTILLERS

_VOXELS = dict(
    num_centres=6000,
    num_neighbours=128,
    importance='count',
    reweight='softmax',
    tau=1e-2,
    pool='none',
    scope='batch',
    graph_channels=None,
    loss_weight=2.0)
_CELLS = dict(
    num_centres=256,
    num_neighbours=128,
    importance='max',
    reweight='uniform',
    tau=1e-2,
    pool='none',
    scope='sample',
    graph_channels=None,
    loss_weight=2.0)
_POINTS = dict(
    num_centres=6000,
    num_neighbours=128,
    importance='max',
    reweight='uniform',
    tau=1e-3,
    pool='max',
    scope='sample',
    graph_channels=None,
    loss_weight=2.0)
#: Values of the released code for its detectors, and ours for CenterPoint.
FAMILIES = dict(
    voxels=_VOXELS,
    cells=_CELLS,
    points=_POINTS,
    pointpillars=_VOXELS,
    pointpillars_16x=dict(_VOXELS, num_centres=12000),
    # The released loss is a sum over the 6 scans that a GPU has.
    second=dict(
        _CELLS, num_neighbours=256, graph_channels=32, loss_weight=12.0),
    second_16x=dict(_CELLS, tau=1e-4, graph_channels=32, loss_weight=12.0),
    point_rcnn=_POINTS,
    pointpillars_fpn=dict(_CELLS, tau=1e-4, graph_channels=64),
    centerpoint_pillar=_VOXELS,
    centerpoint_voxel=_CELLS)
#: What the paper says otherwise; points have other weights besides.
PAPER = dict(scope='sample', pool='max', reweight='softmax', loss_weight=1.0)
#: Centres whose neighbours a picture shows.
_SHOWN = 6
_CHOICES = dict(
    importance=('count', 'max', 'abs_mean'),
    sample=('top', 'bottom', 'random', 'mixed'),
    reweight=('softmax', 'uniform', 'encoding'),
    pool=('none', 'max', 'mean'),
    scope=('batch', 'sample'),
    align=('row', 'coors', 'bev'),
    edge=('concat', 'diff'),
    teacher_layer=('train', 'frozen'),
    source=('code', 'paper'))


class Nodes(NamedTuple):
    """The nodes of a level, those of both networks in the same order.

    Attributes:
        feat_s (Tensor): Student's features, (M, C_s).
        feat_t (Tensor): Teacher's features, (M, C_t).
        importance (Tensor): Of each node, from the teacher's side, (M, ).
        sizes (list[int]): How many of them, one after the other, form a
            group: all of the batch, or those of each scan.
        rows (Tensor): Where the nodes lie in the teacher's tensor, with
            cells and points counted on through the scans, (M, ).
    """
    feat_s: Tensor
    feat_t: Tensor
    importance: Tensor
    sizes: List[int]
    rows: Tensor


class PointGraph(NamedTuple):
    """The graphs of one group of nodes, for pictures and for tests.

    Attributes:
        centres (Tensor): Rows in the teacher's tensor, (N, ).
        neighbours (Tensor): Rows in the teacher's tensor, (N, K).
        weights (Tensor): Weights of the centres, (N, ); 1 each where they
            come from the encoded edges.
    """
    centres: Tensor
    neighbours: Tensor
    weights: Tensor


@DISTILLERS.register_module()
class PointDistiller(Distiller):
    r"""Distil what local graphs of voxels, cells or points look like.

    `PointDistiller: Structured Knowledge Distillation Towards Efficient and
    Compact 3D Detection <https://arxiv.org/abs/2205.11098>`_ (Zhang et al.,
    CVPR 2023), between a wide and a thin LiDAR detector of one kind:

    1. the N most important nodes become centres
       (:func:`choose_centres`);
    2. each is joined with its K nearest nodes in the space of the teacher's
       features, itself among them (:func:`nearest_nodes`), and
       one layer a network encodes the edges
       (:class:`EdgeConv`);
    3. the squared difference of the encodings, averaged over neighbours and
       channels, is averaged over the centres with weights of mean 1:

    .. math::
        L = \frac{1}{N K C'} \sum_{a,k,c'}
            w_a \left(G^T_{akc'} - G^S_{akc'}\right)^2

    ``loss`` is its sum over the levels. Centres, neighbours and weights come
    from the teacher and pass no gradient. Both layers are trained and are no
    part of the student; since the teacher's is trained too, it could fall
    silent: ``graph_mean`` and ``graph_var`` of its encodings are logged.
    Equal networks have the loss 0 only if both layers are equal, which they
    are not when they are made.

    Nodes are rows of a voxel encoder (M, C), cells of a map (B, C, H, W) or
    points (B, C, P). No ground truth is read. What the paper, the released
    code and we do differently stands in docs/methods/pointdistiller.md.

    Args:
        student (str | list[str], optional): Taps in the student. Defaults to
            None: the outputs of a learned voxel encoder, of the first two
            stages behind one that averages, of the finest level of an FPN,
            or of a PointNet++ neck.
        teacher (str | list[str], optional): Taps in the teacher. Defaults to
            None.
        family (str, optional): Whose values are taken where the arguments
            below are left out: ``'pointpillars'``, ``'pointpillars_16x'``,
            ``'second'``, ``'second_16x'``, ``'point_rcnn'``,
            ``'pointpillars_fpn'``, ``'centerpoint_pillar'`` or
            ``'centerpoint_voxel'``. Defaults to None: those of the nodes'
            kind, ``'voxels'``, ``'cells'`` or ``'points'``.
        source (str): ``'code'``, or ``'paper'`` for what the paper says
            where the two differ: graphs of each scan, one pooled encoding a
            centre, weights from a softmax, coefficient 1. Defaults to
            ``'code'``.
        num_centres (int, optional): N, of each group. Defaults to None.
        num_neighbours (int, optional): K. Defaults to None.
        importance (str, optional): ``'count'``, the points of a voxel;
            ``'max'`` or ``'abs_mean'`` of the teacher's channels. Defaults
            to None.
        sample (str): Which nodes become centres, ``'top'``, ``'bottom'``,
            ``'random'`` or ``'mixed'``. Defaults to ``'top'``.
        reweight (str, optional): Weights of the centres: ``'softmax'`` of
            the importance, ``'encoding'``, a softmax of the largest channel
            of the teacher's encoding, or ``'uniform'``. Defaults to None.
        tau (float, optional): Temperature of the softmax. Defaults to None.
        pool (str, optional): Over the neighbours, ``'none'``, ``'max'`` or
            ``'mean'``. Defaults to None.
        scope (str, optional): Nodes of a group: all of the ``'batch'`` on a
            GPU, or those of a ``'sample'``. Defaults to None.
        graph_channels (int, optional): C'. Defaults to None: that of the
            family, or else as many as the student has.
        align (str): How the nodes of both networks find each other:
            ``'row'``, by position; ``'coors'``, by the coordinates of voxels
            of one grid, where only common voxels take part; ``'bev'``, maps
            of other sizes, the student's resized bilinearly to the
            teacher's. Defaults to ``'row'``.
        edge (str): See :class:`EdgeConv`. Defaults to
            ``'concat'``.
        teacher_layer (str): ``'train'`` or ``'frozen'``, the layer on the
            teacher's edges. Defaults to ``'train'``.
        knn_budget_mib (float): Memory for distances in the search, in MiB.
            Defaults to 64.
        loss_weight (float | dict, optional): Weight or schedule. Defaults to
            None.
        kwargs: Arguments of :class:`Distiller`.
    """

    roles = ('nodes', )

    def __init__(self,
                 student=None,
                 teacher=None,
                 family: Optional[str] = None,
                 source: str = 'code',
                 num_centres: Optional[int] = None,
                 num_neighbours: Optional[int] = None,
                 importance: Optional[str] = None,
                 sample: str = 'top',
                 reweight: Optional[str] = None,
                 tau: Optional[float] = None,
                 pool: Optional[str] = None,
                 scope: Optional[str] = None,
                 graph_channels: Optional[int] = None,
                 align: str = 'row',
                 edge: str = 'concat',
                 teacher_layer: str = 'train',
                 knn_budget_mib: float = 64.,
                 loss_weight: Optional[WeightLike] = None,
                 **kwargs) -> None:
        given = dict(
            num_centres=num_centres,
            num_neighbours=num_neighbours,
            importance=importance,
            reweight=reweight,
            tau=tau,
            pool=pool,
            scope=scope,
            graph_channels=graph_channels)
        for name, value in dict(
                given,
                sample=sample,
                align=align,
                edge=edge,
                teacher_layer=teacher_layer,
                source=source).items():
            choices = _CHOICES.get(name)
            if choices and value is not None and value not in choices:
                raise ConfigError(f'PointDistiller: {name} is one of '
                                  f'{", ".join(choices)}, not {value!r}')
        for name in ('num_centres', 'num_neighbours', 'graph_channels'):
            value = given[name]
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ConfigError(f'PointDistiller: {name} must be a positive '
                                  f'integer, but got {value!r}')
        if not knn_budget_mib > 0:
            raise ConfigError('PointDistiller: knn_budget_mib must be '
                              f'positive, but got {knn_budget_mib!r}')
        if tau is not None:
            check_tau('PointDistiller', tau=tau)
        if family is not None:
            pick_family('PointDistiller', FAMILIES, family)
        # All kinds of nodes have the same one where no family is named.
        weight = FAMILIES[family or 'voxels']['loss_weight']
        if source == 'paper':
            weight = PAPER['loss_weight']
        super().__init__(
            student=student,
            teacher=teacher,
            loss_weight=weight if loss_weight is None else loss_weight,
            **kwargs)
        self._given = given
        self.family = family
        self.source = source
        self.sample = sample
        self.align = align
        self.edge = edge
        self.teacher_layer = teacher_layer
        self.knn_budget_mib = knn_budget_mib

    # ------------------------------------------------------------- building

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Take the values for this kind of nodes; two layers a level."""
        self._levels_s = _find_levels(student['nodes'])
        self._levels_t = _find_levels(teacher['nodes'])
        self._network = teacher['nodes'][0].network
        specs_s, specs_t = ([specs['nodes'][level] for level, _ in levels]
                            for specs, levels in ((student, self._levels_s),
                                                  (teacher, self._levels_t)))
        self.check_levels(dict(nodes=specs_s), dict(nodes=specs_t))
        kinds = {_kind(spec) for spec in (*specs_s, *specs_t)}
        if len(kinds) != 1:
            raise ConfigError('PointDistiller compares nodes of one kind, but '
                              f'the taps give {", ".join(sorted(kinds))}')
        self.kind = kinds.pop()
        self._take_values()
        for spec_s, spec_t in zip(specs_s, specs_t):
            self._check_level(spec_s, spec_t)

        def layers(specs: Sequence[TapSpec]) -> nn.ModuleList:
            return nn.ModuleList(
                EdgeConv(spec.channels, self.graph_channels or spec_s.channels,
                         self.edge) for spec, spec_s in zip(specs, specs_s))

        self.layers_s, self.layers_t = layers(specs_s), layers(specs_t)
        self.layers_t.requires_grad_(self.teacher_layer == 'train')

    def _take_values(self) -> None:
        values = dict(FAMILIES[self.family or self.kind])
        if self.source == 'paper':
            values.update(PAPER)
            if self.kind == 'points':
                values.update(reweight='encoding')
        values.update({k: v for k, v in self._given.items() if v is not None})
        self.num_centres: int = values['num_centres']
        self.num_neighbours: int = values['num_neighbours']
        self.importance: str = values['importance']
        self.reweight: str = values['reweight']
        self.tau: float = values['tau']
        self.pool: str = values['pool']
        self.scope: str = values['scope']
        self.graph_channels: Optional[int] = values['graph_channels']
        if self.importance == 'count' and self.kind != 'voxels':
            raise ConfigError(
                f'PointDistiller: {self.kind} have no number of points; set '
                "importance='max', or tap a voxel encoder")
        if self.align == 'coors' and self.kind != 'voxels':
            raise ConfigError("PointDistiller: align='coors' is for voxels, "
                              f'but the taps give {self.kind}')

    def _check_level(self, spec_s: TapSpec, spec_t: TapSpec) -> None:
        if self.align == 'bev' and self.kind != 'cells':
            raise ConfigError(
                "PointDistiller: align='bev' resizes maps (B, C, H, W), but "
                f'{spec_s.path!r} gives the shape {spec_s.shape}; voxels of '
                'other sizes have no common rows: tap maps behind them, such '
                "as 'backbone[0:2]'")
        size_s, size_t = spec_s.shape[2:], spec_t.shape[2:]
        if size_s != size_t and self.align != 'bev':
            raise ConfigError(
                f'PointDistiller: {spec_s.path!r} of the student has '
                f'{"x".join(map(str, size_s))} nodes and {spec_t.path!r} of '
                f'the teacher {"x".join(map(str, size_t))}' +
                ("; align='bev' resizes maps" if self.kind == 'cells' else ''))

    # --------------------------------------------------------------- nodes

    def _nodes(self, level: int, student: List[Tensor], teacher: List[Tensor],
               batch: StepBatch) -> Nodes:
        """The nodes of a level, brought into one order.

        Raises:
            ConfigError: If the nodes of both networks do not belong together.
        """
        (at_s, beside_s), (at_t, beside_t) = (self._levels_s[level],
                                              self._levels_t[level])
        feat_s, feat_t = student[at_s], teacher[at_t].detach()
        if self.kind != 'voxels':
            return self._dense_nodes(feat_s, feat_t)
        voxels_s = _voxels(batch.inputs)
        voxels_t = _voxels(batch.inputs_of(self._network))
        counts = voxels_t.get('num_points')
        coors_s, coors_t = voxels_s.get('coors'), voxels_t.get('coors')
        # A dynamic encoder gives the coordinates of its rows beside them;
        # those of the batch are then of points.
        if beside_s is not None:
            coors_s = student[beside_s]
        if beside_t is not None:
            if self.importance == 'count':
                counts = points_per_voxel(
                    _needed(coors_t, "importance='count'"), teacher[beside_t])
            coors_t = teacher[beside_t]
        rows_t = torch.arange(len(feat_t), device=feat_t.device)
        if self.align == 'coors':
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
        if self.scope == 'sample':
            scans = _needed(coors_t, "scope='sample'")[rows_t, 0].long()
            order = scans.argsort(stable=True)
            sizes = scans.bincount().tolist()
            rows_t = rows_t[order]
            feat_s = feat_s.index_select(0, order)
        feat_t = feat_t[rows_t]
        importance = _needed(counts, "importance='count'")[rows_t] \
            if self.importance == 'count' else self._importance_of(feat_t)
        return Nodes(feat_s, feat_t, importance, sizes, rows_t)

    def _dense_nodes(self, feat_s: Tensor, feat_t: Tensor) -> Nodes:
        if self.align == 'bev':
            feat_s = match_size(feat_s, feat_t)
        if feat_s.shape[2:] != feat_t.shape[2:]:
            raise ConfigError(
                f'PointDistiller: {tuple(feat_s.shape[2:])} nodes in the '
                f'student and {tuple(feat_t.shape[2:])} in the teacher')
        feat_s, feat_t = (
            feat.flatten(2).transpose(1, 2) for feat in (feat_s, feat_t))
        num_scans, num_nodes = feat_t.shape[:2]
        feat_s, feat_t = feat_s.flatten(0, 1), feat_t.flatten(0, 1)
        sizes = [num_nodes] * num_scans if self.scope == 'sample' else [
            num_scans * num_nodes
        ]
        return Nodes(feat_s, feat_t, self._importance_of(feat_t), sizes,
                     torch.arange(len(feat_t), device=feat_t.device))

    def _importance_of(self, feat_t: Tensor) -> Tensor:
        if self.importance == 'abs_mean':
            return feat_t.abs().mean(dim=1)
        return feat_t.amax(dim=1)

    def _graphs(self, nodes: Nodes) -> List[PointGraph]:
        """Graphs of the groups that have nodes, in rows of ``nodes``."""
        graphs = []
        begin = 0
        for size in nodes.sizes:
            group = slice(begin, begin + size)
            if size:
                importance = nodes.importance[group].float()
                centres = choose_centres(importance, self.num_centres,
                                         self.sample)
                neighbours = nearest_nodes(nodes.feat_t[group], centres,
                                           self.num_neighbours,
                                           self.knn_budget_mib)
                chosen = importance[centres]
                weights = centre_weights(chosen, self.tau) \
                    if self.reweight == 'softmax' else torch.ones_like(chosen)
                graphs.append(
                    PointGraph(centres + begin, neighbours + begin, weights))
            begin += size
        return graphs

    # ------------------------------------------------------------- pictures

    @torch.no_grad()
    def graphs(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> List[List[PointGraph]]:
        """The graphs that are compared.

        Args:
            student (dict[str, list[Tensor]]): As in :meth:`losses`.
            teacher (dict[str, list[Tensor]]): As in :meth:`losses`.
            batch (StepBatch): As in :meth:`losses`.

        Returns:
            list[list[PointGraph]]: For each level, those of each group that
            has nodes.
        """
        found = []
        for level in range(len(self.layers_s)):
            nodes = self._nodes(level, student['nodes'], teacher['nodes'],
                                batch)
            found.append([
                PointGraph(nodes.rows[graph.centres],
                           nodes.rows[graph.neighbours], graph.weights)
                for graph in self._graphs(nodes)
            ])
        return found

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Nodes with their importance, centres with their weight and with
        the distance of their encodings, and a few centres with the nodes
        that they are joined with."""
        visuals: List[Visual] = []
        for level in range(len(self.layers_s)):
            nodes = self._nodes(level, student['nodes'], teacher['nodes'],
                                batch)
            graphs = self._graphs(nodes)
            if not graphs:
                continue
            places, scans, metric = self._places(level, teacher['nodes'],
                                                 nodes, batch)
            low, high = places.amin(dim=0), places.amax(dim=0)
            extent = (*(low - 0.5).tolist(), *(high + 0.5).tolist())
            pairs, _ = self._compare(level, nodes.feat_s.float(),
                                     nodes.feat_t.float(), graphs)
            centres = torch.cat([graph.centres for graph in graphs])
            weights, distances = (torch.cat(part) for part in zip(*pairs))

            def points(name: str, rows: Tensor, values: Tensor,
                       **kwargs) -> Points:
                parts = [scans[rows] == scan for scan in range(num_scans)]
                return Points(
                    name, [values[part] for part in parts],
                    f'level {level}',
                    positions=[places[rows[part]] for part in parts],
                    extent=extent,
                    **kwargs)

            num_scans = len(batch.data_samples or []) or int(scans.max()) + 1
            cloud = [places[scans == scan] for scan in range(num_scans)]
            if metric:
                cloud = [scan[:, :2] for scan in batch.inputs['points']]
            every = torch.arange(len(places), device=places.device)
            visuals += [
                points('importance', every, nodes.importance.float()),
                points('weight of the centres', centres, weights, cloud=cloud),
                points(
                    'distance of the graphs',
                    centres,
                    distances,
                    cloud=cloud,
                    changes=True),
                self._joined(graphs, weights, places, scans, cloud, extent,
                             f'level {level}')
            ]
        return visuals

    @staticmethod
    def _joined(graphs: List[PointGraph], weights: Tensor, places: Tensor,
                scans: Tensor, cloud: List[Tensor],
                extent: Tuple[float, float, float,
                              float], group: str) -> Points:
        """A few of the heaviest centres of each group, in a colour each,
        with lines to their neighbours in the same scan."""
        none = scans[:0]
        rows, colors, edges = ([[none] for _ in cloud], [[none] for _ in cloud
                                                         ], [[none.view(0, 2)]
                                                             for _ in cloud])
        heavy = weights.split([len(graph.centres) for graph in graphs])
        for graph, weight in zip(graphs, heavy):
            order = weight.argsort(descending=True, stable=True)[:_SHOWN]
            for number, a in enumerate(order.tolist()):
                centre, near = graph.centres[a:a + 1], graph.neighbours[a]
                scan = int(scans[centre])
                near = near[(scans[near] == scan) & (near != centre)]
                begin = sum(map(len, rows[scan]))
                ends = begin + 1 + torch.arange(len(near), device=near.device)
                rows[scan] += [centre, near]
                colors[scan].append(
                    torch.full_like(scans[:1 + len(near)], number))
                edges[scan].append(
                    torch.stack([torch.full_like(ends, begin), ends], dim=1))
        return Points(
            f'neighbours of {_SHOWN} centres',
            [torch.cat(part).float() for part in colors],
            group,
            limits=(0, _SHOWN - 1),
            positions=[places[torch.cat(part)] for part in rows],
            cloud=cloud,
            edges=[torch.cat(part) for part in edges],
            extent=extent)

    def _places(self, level: int, teacher: List[Tensor], nodes: Nodes,
                batch: StepBatch) -> Tuple[Tensor, Tensor, bool]:
        """Where the nodes lie in bird's-eye view (M, 2), in which scan
        (M, ), and whether that is in metres."""
        at, beside = self._levels_t[level]
        feat = teacher[at]
        metric = self.kind == 'points'
        if self.kind == 'voxels':
            voxels = _voxels(batch.inputs_of(self._network))
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
                clouds = batch.inputs_of(self._network)['points']
                places = torch.cat([cloud[:, :2] for cloud in clouds])
        return places, scans, metric

    # --------------------------------------------------------------- losses

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``loss``, the sum over the levels, and mean and variance
        of the teacher's encodings, averaged over the levels."""
        found = []
        for level in range(len(self.layers_s)):
            nodes = self._nodes(level, student['nodes'], teacher['nodes'],
                                batch)
            found.append(
                self._level_loss(level, nodes.feat_s, nodes.feat_t,
                                 self._graphs(nodes)))
        losses, means, variances = zip(*found)
        return dict(
            loss=sum(losses),
            graph_mean=torch.stack(means).mean(),
            graph_var=torch.stack(variances).mean())

    @full_precision
    def _level_loss(self, level: int, feat_s: Tensor, feat_t: Tensor,
                    graphs: List[PointGraph]) -> Tuple[Tensor, Tensor, Tensor]:
        """Loss of a level in float32, mean over the scans that have nodes."""
        edges = sum(graph.neighbours.numel() for graph in graphs)
        if edges < 2 and (self.training or not edges):
            # Batch normalisation knows no variance of a single edge.
            zero = zero_like_graph(feat_s, *self.parameters())
            return zero, zero.detach(), zero.detach()
        pairs, encoded_t = self._compare(level, feat_s, feat_t, graphs)
        loss = torch.stack([(weights * distances).mean()
                            for weights, distances in pairs]).mean()
        with torch.no_grad():
            moments = [
                torch.var_mean(part, unbiased=False) for part in encoded_t
            ]
        variance, mean = (torch.stack(m).mean() for m in zip(*moments))
        return loss, mean, variance

    def _compare(
        self, level: int, feat_s: Tensor, feat_t: Tensor,
        graphs: List[PointGraph]
    ) -> Tuple[List[Tuple[Tensor, Tensor]], List[Tensor]]:
        """Weight and squared distance of each centre, both (N, ), and the
        teacher's encoded edges (N, K, C'), of each group."""
        index = [graph[:2] for graph in graphs]
        encoded_s = self.layers_s[level](feat_s, index)
        encoded_t = self.layers_t[level](feat_t, index)
        pairs = []
        for graph, graph_s, graph_t in zip(graphs, encoded_s, encoded_t):
            graph_s, graph_t = self._pooled(graph_s), self._pooled(graph_t)
            distances = (graph_t - graph_s).square().flatten(1).mean(dim=1)
            weights = graph.weights
            if self.reweight == 'encoding':
                weights = centre_weights(
                    graph_t.detach().flatten(1).amax(dim=1), self.tau)
            pairs.append((weights, distances))
        return pairs, encoded_t

    def _pooled(self, encoded: Tensor) -> Tensor:
        """Pool (N, K, C') over the neighbours, or not."""
        if self.pool == 'none':
            return encoded
        return encoded.amax(dim=1) if self.pool == 'max' else encoded.mean(
            dim=1)


def _find_levels(specs: Sequence[TapSpec]) -> List[Tuple[int, Optional[int]]]:
    """Where the features of each level lie, and the coordinates that a
    dynamic encoder gives behind them."""
    levels: List[Tuple[int, Optional[int]]] = []
    for i, spec in enumerate(specs):
        if spec.dtype.is_floating_point:
            levels.append((i, None))
        elif levels and spec.shape[1:] == (4, ):
            levels[-1] = (levels[-1][0], i)
        else:
            raise ConfigError(f'PointDistiller: {spec.path!r} gives integers '
                              f'of the shape {spec.shape}, and no features')
    return levels


def _kind(spec: TapSpec) -> str:
    kinds = {2: 'voxels', 3: 'points', 4: 'cells'}
    if len(spec.shape) not in kinds:
        raise ConfigError(
            'PointDistiller reads voxels (M, C), points (B, C, P) or maps '
            f'(B, C, H, W), but {spec.path!r} gives the shape {spec.shape}')
    return kinds[len(spec.shape)]


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
    """Whether rows are known to be of different voxels."""
    if first is None or second is None or first is second:
        return False
    return first.shape != second.shape or not torch.equal(first, second)
