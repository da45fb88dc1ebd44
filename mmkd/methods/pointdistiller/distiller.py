"""Structured distillation of LiDAR detectors (PointDistiller)."""
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from mmkd.core.balance import LossWeightLike
from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Visual
from mmkd.errors import ConfigError
from mmkd.methods.pointdistiller.edge_conv import EdgeConv
from mmkd.methods.pointdistiller.graphs import (PointGraph, build_graphs,
                                                centre_weights)
from mmkd.methods.pointdistiller.nodes import (NodeReader, Nodes, check_level,
                                               find_levels, kind_of)
from mmkd.methods.pointdistiller.options import PointDistillerOptions
from mmkd.methods.pointdistiller.pictures import draw_graphs
from mmkd.ops.masks import zero_like_graph
from mmkd.ops.precision import full_precision
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import take_options


@DISTILLERS.register_module()
class PointDistiller(Distiller):
    r"""Distil local graphs of voxels, cells or points.

    `PointDistiller: Structured Knowledge Distillation Towards Efficient and
    Compact 3D Detection <https://arxiv.org/abs/2205.11098>`_ (Zhang et al.,
    CVPR 2023), between a wide and a thin LiDAR detector of the same type:

    1. the N most important nodes become centres
       (:func:`choose_centres`);
    2. each is connected with its K nearest nodes in the teacher's feature
       space, including itself (:func:`nearest_nodes`), and one layer per
       network encodes the edges (:class:`EdgeConv`);
    3. the squared difference of the encodings, averaged over neighbours and
       channels, is averaged over the centres with weights of mean 1:

    .. math::
        L = \frac{1}{N K C'} \sum_{a,k,c'}
            w_a \left(G^T_{akc'} - G^S_{akc'}\right)^2

    ``loss`` is its sum over the levels. Centres, neighbours and weights come
    from the teacher and pass no gradient. Both layers are trained but are not
    part of the student. Since the teacher's layer is also trained, it could
    collapse: ``graph_mean`` and ``graph_var`` of its encodings are logged. For
    equal networks, the loss is 0 only if both layers are equal, which they are
    not at initialisation.

    Nodes are rows of a voxel encoder (M, C), cells of a map (B, C, H, W) or
    points (B, C, P). The method needs no ground truth. For differences between
    the paper, the released code and mmkd, see docs/methods/pointdistiller.md.

    Args:
        student (str | list[str], optional): Taps in the student. Defaults to
            None: the output of a learned voxel encoder, of the first two
            stages after an encoder that averages points, of the finest level
            of an FPN, or of a PointNet++ neck.
        teacher (str | list[str], optional): Taps in the teacher. Defaults to
            None.
        loss_weight (float | str | dict, optional): Weight. Defaults to
            None: that of the preset and the variant.
        kwargs: The fields of :class:`PointDistillerOptions`, such as
            ``num_centres``, and the arguments of :class:`Distiller`.
    """

    Options = PointDistillerOptions
    roles = ('nodes', )
    needs_inputs = True
    figures = ('graph_mean', 'graph_var')

    def __init__(self,
                 student=None,
                 teacher=None,
                 loss_weight: Optional[LossWeightLike] = None,
                 **kwargs) -> None:
        options = take_options(PointDistillerOptions, kwargs)
        super().__init__(
            student=student,
            teacher=teacher,
            loss_weight=options.loss_weight
            if loss_weight is None else loss_weight,
            **kwargs)
        self.options = options

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Resolve the options for the kind of nodes, and build two layers per
        level."""
        levels_s = find_levels(student['nodes'])
        levels_t = find_levels(teacher['nodes'])
        self._network = teacher['nodes'][0].network
        specs_s, specs_t = ([specs['nodes'][level] for level, _ in levels]
                            for specs, levels in ((student, levels_s),
                                                  (teacher, levels_t)))
        self.check_levels(dict(nodes=specs_s), dict(nodes=specs_t))
        kinds = {kind_of(spec) for spec in (*specs_s, *specs_t)}
        if len(kinds) != 1:
            raise ConfigError('PointDistiller compares nodes of one kind, but '
                              f'the taps give {", ".join(sorted(kinds))}')
        self.kind = kinds.pop()
        self.resolved = options = self.options.resolve(self.kind)
        self._reader = NodeReader(self.kind, options, levels_s, levels_t)
        for spec_s, spec_t in zip(specs_s, specs_t):
            check_level(spec_s, spec_t, self.kind, options.align)

        def layers(specs: Sequence[TapSpec]) -> nn.ModuleList:
            return nn.ModuleList(
                EdgeConv(spec.channels, options.graph_channels
                         or spec_s.channels, options.edge)
                for spec, spec_s in zip(specs, specs_s))

        self.layers_s, self.layers_t = layers(specs_s), layers(specs_t)
        self.layers_t.requires_grad_(options.teacher_layer == 'train')

    def _nodes(self, level: int, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]], batch: StepBatch) -> Nodes:
        return self._reader.read(level, student['nodes'], teacher['nodes'],
                                 batch.inputs, batch.inputs_of(self._network))

    def _graphs(self, nodes: Nodes) -> List[PointGraph]:
        return build_graphs(nodes.feat_t, nodes.importance, nodes.sizes,
                            self.resolved)

    @torch.no_grad()
    def graphs(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> List[List[PointGraph]]:
        """The compared graphs.

        Args:
            student (dict[str, list[Tensor]]): As in :meth:`losses`.
            teacher (dict[str, list[Tensor]]): As in :meth:`losses`.
            batch (StepBatch): As in :meth:`losses`.

        Returns:
            list[list[PointGraph]]: For each level, the graph of each group
            with nodes.
        """
        found = []
        for level in range(len(self.layers_s)):
            nodes = self._nodes(level, student, teacher, batch)
            found.append([
                PointGraph(nodes.rows[graph.centres],
                           nodes.rows[graph.neighbours], graph.weights)
                for graph in self._graphs(nodes)
            ])
        return found

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Nodes with their importance, centres with their weight and the
        distance of their encodings, and some centres with their
        neighbours."""
        visuals: List[Visual] = []
        for level in range(len(self.layers_s)):
            nodes = self._nodes(level, student, teacher, batch)
            graphs = self._graphs(nodes)
            if not graphs:
                continue
            places, scans, metric = self._reader.places(
                level, teacher['nodes'], nodes, batch.inputs_of(self._network))
            if metric:
                cloud = [scan[:, :2] for scan in batch.inputs['points']]
            else:
                num_scans = len(batch.data_samples
                                or []) or int(scans.max()) + 1
                cloud = [places[scans == scan] for scan in range(num_scans)]
            pairs, _ = self._compare(level, nodes.feat_s.float(),
                                     nodes.feat_t.float(), graphs)
            visuals += draw_graphs(nodes.importance, graphs, *zip(*pairs),
                                   places, scans, cloud, f'level {level}')
        return visuals

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute ``loss``, the sum over the levels, and mean and variance
        of the teacher's encodings, averaged over the levels."""
        found = []
        for level in range(len(self.layers_s)):
            nodes = self._nodes(level, student, teacher, batch)
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
        """Loss of a level in float32, averaged over the scans with nodes
        unless the variant is the local one."""
        edges = sum(graph.neighbours.numel() for graph in graphs)
        if edges < 2 and (self.training or not edges):
            # Batch normalisation needs more than a single edge.
            zero = zero_like_graph(feat_s, *self.parameters())
            return zero, zero.detach(), zero.detach()
        pairs, encoded_t = self._compare(level, feat_s, feat_t, graphs)
        if self.options.variant == 'local':
            # A scan with few nodes has fewer neighbours.
            unpooled = self.resolved.pool == 'none'
            loss = _root(
                sum(distances.sum() *
                    (part[0].numel() if unpooled else part.size(2))
                    for (_, distances), part in zip(pairs, encoded_t)))
        else:
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
            if self.resolved.reweight == 'encoding':
                weights = centre_weights(
                    graph_t.detach().flatten(1).amax(dim=1), self.resolved.tau)
            pairs.append((weights, distances))
        return pairs, encoded_t

    def _pooled(self, encoded: Tensor) -> Tensor:
        """Optionally pool (N, K, C') over the neighbours."""
        if self.resolved.pool == 'none':
            return encoded
        if self.resolved.pool == 'max':
            return encoded.amax(dim=1)
        return encoded.mean(dim=1)


def _root(x: Tensor) -> Tensor:
    """Square root, whose gradient at 0 is 0."""
    return x.clamp(min=torch.finfo(x.dtype).tiny).sqrt() * (x > 0)
