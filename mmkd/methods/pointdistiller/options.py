"""Options of PointDistiller, with the values of each detector."""
from dataclasses import dataclass, replace
from typing import Literal, Optional

from mmkd.core.logits import check_tau
from mmkd.errors import ConfigError
from mmkd.utils.arguments import check_choices, fill_from_preset

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
PRESETS = dict(
    voxels=_VOXELS,
    cells=_CELLS,
    points=_POINTS,
    pointpillars=_VOXELS,
    # The config says 12000 centres, but the call that trains passes 6000.
    pointpillars_16x=_VOXELS,
    # The released loss is a sum over the 6 scans of a GPU.
    second=dict(
        _CELLS, num_neighbours=256, graph_channels=32, loss_weight=12.0),
    second_16x=dict(_CELLS, tau=1e-4, graph_channels=32, loss_weight=12.0),
    point_rcnn=_POINTS,
    pointpillars_fpn=dict(_CELLS, tau=1e-4, graph_channels=64),
    centerpoint_pillar=_VOXELS,
    centerpoint_voxel=_CELLS)
#: Values of the paper that differ; for points, the weights differ as well.
PAPER = dict(scope='sample', pool='max', reweight='softmax', loss_weight=1.0)
#: Values of the released code without reweighting.
LOCAL = dict(reweight='uniform', loss_weight=5e-4)


@dataclass(frozen=True)
class PointDistillerOptions:
    """Options for matching nodes, building graphs and comparing them.

    Options that are None get the value of the preset and the variant; see
    :meth:`resolve`.

    Args:
        preset: Selects the defaults: ``'pointpillars'``,
            ``'pointpillars_16x'``, ``'second'``, ``'second_16x'``,
            ``'point_rcnn'``, ``'pointpillars_fpn'``,
            ``'centerpoint_pillar'`` or ``'centerpoint_voxel'``. Defaults to
            None: those of the nodes' kind, ``'voxels'``, ``'cells'`` or
            ``'points'``.
        variant: ``'paper'`` uses the paper's values where they differ from the
            released code: one graph per scan, one pooled encoding per
            centre, softmax weights, coefficient 1. ``'local'`` is the
            released code's local distillation without reweighting: the
            Euclidean norm of the difference of all encodings of a level,
            neither squared nor averaged, with the coefficient 5e-4.
        num_centres: N, per group.
        num_neighbours: K.
        importance: ``'count'``, the points of a voxel; ``'max'`` or
            ``'abs_mean'`` of the teacher's channels.
        sample: Selection of the centres, by importance.
        reweight: Weights of the centres: ``'softmax'`` of the importance;
            ``'encoding'``, a softmax of the maximum channel of the teacher's
            encoding; or ``'uniform'``.
        tau: Temperature of the softmax.
        pool: Pooling of the encodings over the neighbours.
        scope: One group per ``'batch'`` on a GPU, or per ``'sample'``. For
            voxels, the latter makes the host wait for their numbers.
        graph_channels: C'. If neither this option nor the preset sets it, the
            student's number of channels.
        align: How the nodes of both networks are matched: ``'row'``, by row;
            ``'coors'``, by the coordinates of voxels in a common grid, using
            only common voxels, for whose number the host waits; ``'bev'``,
            for maps of different sizes, by resizing the student's bilinearly
            to the teacher's.
        edge: See :class:`EdgeConv`.
        teacher_layer: Whether the layer on the teacher's edges is trained.
        knn_budget_mib: Memory for distances in the search, in MiB.

    Raises:
        ConfigError: If a value is invalid.
    """
    preset: Optional[str] = None
    variant: Literal['code', 'paper', 'local'] = 'code'
    num_centres: Optional[int] = None
    num_neighbours: Optional[int] = None
    importance: Optional[Literal['count', 'max', 'abs_mean']] = None
    sample: Literal['top', 'bottom', 'random', 'mixed'] = 'top'
    reweight: Optional[Literal['softmax', 'uniform', 'encoding']] = None
    tau: Optional[float] = None
    pool: Optional[Literal['none', 'max', 'mean']] = None
    scope: Optional[Literal['batch', 'sample']] = None
    graph_channels: Optional[int] = None
    align: Literal['row', 'coors', 'bev'] = 'row'
    edge: Literal['concat', 'diff'] = 'concat'
    teacher_layer: Literal['train', 'frozen'] = 'train'
    knn_budget_mib: float = 64.

    def __post_init__(self) -> None:
        check_choices('PointDistiller', type(self), **vars(self))
        for name in ('num_centres', 'num_neighbours', 'graph_channels'):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ConfigError(f'PointDistiller: {name} must be a positive '
                                  f'integer, but got {value!r}')
        if not self.knn_budget_mib > 0:
            raise ConfigError('PointDistiller: knn_budget_mib must be '
                              f'positive, but got {self.knn_budget_mib!r}')
        if self.tau is not None:
            check_tau('PointDistiller', tau=self.tau)
        if self.variant == 'local' and self.reweight not in (None, 'uniform'):
            raise ConfigError("PointDistiller: variant='local' has no weights "
                              'of centres, but got reweight='
                              f'{self.reweight!r}')
        if self.preset is not None:
            fill_from_preset('PointDistiller', PRESETS, self.preset)

    @property
    def loss_weight(self) -> float:
        """Default weight of the loss."""
        if self.variant != 'code':
            return (PAPER if self.variant == 'paper' else LOCAL)['loss_weight']
        # Without a preset, all kinds of nodes have the same weight.
        return PRESETS[self.preset or 'voxels']['loss_weight']

    def resolve(self, kind: str) -> 'PointDistillerOptions':
        """Fill in the values of the preset and the variant.

        Args:
            kind (str): Kind of the nodes, ``'voxels'``, ``'cells'`` or
                ``'points'``.

        Raises:
            ConfigError: If an option does not apply to this kind.
        """
        values = dict(PRESETS[self.preset or kind])
        if self.variant == 'paper':
            values.update(PAPER)
            if kind == 'points':
                values.update(reweight='encoding')
        elif self.variant == 'local':
            values.update(LOCAL)
        del values['loss_weight']
        options = replace(
            self, **{
                name: value
                for name, value in values.items()
                if getattr(self, name) is None
            })
        if options.importance == 'count' and kind != 'voxels':
            raise ConfigError(
                f'PointDistiller: {kind} have no number of points; set '
                "importance='max', or tap a voxel encoder")
        if options.align == 'coors' and kind != 'voxels':
            raise ConfigError("PointDistiller: align='coors' is for voxels, "
                              f'but the taps give {kind}')
        return options
