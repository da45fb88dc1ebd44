"""Distillation between detectors of different sensors (UniDistill)."""
from typing import (Any, Dict, List, Literal, Mapping, Optional, Sequence,
                    Tuple, Union)

import torch
from torch import Tensor

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.heads import match_heads
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual
from mmkd.errors import ConfigError, MismatchError
from mmkd.methods.unidistill.losses import (box_gaussian_mask, box_key_points,
                                            class_heat, key_point_distance,
                                            masked_distance, points_in_range,
                                            relation_distance, sample_bev)
from mmkd.ops.connectors import build_connector
from mmkd.ops.precision import full_precision
from mmkd.ops.processes import all_reduce_mean
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices, fill_from_preset


def _weights(feature: float, relation: float,
             response: float) -> Dict[str, float]:
    return dict(
        feature=feature,
        relation=relation,
        response_cls=response,
        response_reg=response)


#: Published weights by path.
PATHS = dict(
    lidar2camera=_weights(100., 40., 10.),
    fusion2camera=_weights(10., 5., 10.),
    camera2lidar=_weights(10., 5., 1.),
    fusion2lidar=_weights(10., 1., 10.))
#: Options of each preset.
PRESETS = dict(
    default=dict(teacher_tau=1., transpose_xy=False, padded_boxes=False),
    released=dict(teacher_tau=2., transpose_xy=True, padded_boxes=True))
_CONNECTOR = dict(
    type='ConvConnector', kernel_size=3, norm_cfg=dict(type='BN'))


@DISTILLERS.register_module()
class UniDistill(Distiller):
    r"""Match the bird's-eye-view maps of two sensors at the objects.

    `UniDistill: A Universal Cross-Modality Knowledge Distillation Framework
    for 3D Object Detection in Bird's-Eye View
    <https://arxiv.org/abs/2303.15083>`_ (Zhou et al., CVPR 2023), between
    any two detectors in bird's-eye view with cameras, LiDAR or both. There are
    three kinds of terms:

    - ``feature``: absolute difference of the low-level maps at nine points of
      each box (:func:`key_point_distance`);
    - ``relation``: absolute difference of the cosine similarities between the
      nine features of a box in the high-level maps
      (:func:`relation_distance`);
    - ``response_cls`` and ``response_reg``: absolute difference of the maximum
      class probability and of the regression branches of all tasks, weighted
      by a Gaussian at each box (:func:`masked_distance`).

    The boxes are those of the batch after augmentation, which must be the same
    for both networks. Sums are divided by the number of boxes, or the sum of
    the mask, averaged over the processes.

    The method taps ``bev_low``, ``bev_high`` and ``responses``, the branches
    of a ``CenterHead``. Their standard places are defined for ``BEVDetector``
    and mmdet3d's ``CenterPoint``.

    Args:
        path (str, optional): Sensors of teacher and student:
            ``'lidar2camera'``, ``'fusion2camera'``, ``'camera2lidar'`` or
            ``'fusion2lidar'``. It selects the published weights of the
            feature, relation and response terms (100, 40, 10; 10, 5, 10; 10,
            5, 1; 10, 1, 10) and the connectors. In a config, the networks
            settle it.
        point_cloud_range (Sequence[float], optional): Range of the student's
            maps: lower x, y, z, then upper ones, metres. In a config, the
            networks settle it, and the next one.
        teacher_range (Sequence[float], optional): Range of the teacher's
            low- and high-level maps. Points outside either range are
            excluded. Defaults to None: the student's.
        connector (str | dict | None): Connector on the student's low-level
            map, and on its high-level map if the student is the stronger
            network. ``'auto'``: for ``camera2lidar``, a 3x3 convolution with
            BN on both; otherwise, a 1x1 convolution on the low-level map if
            its channels differ. Defaults to ``'auto'``.
        reg_keys (Sequence[str]): Regression branches to match. Defaults to
            all of ``CenterHead``'s.
        preset (str): ``'released'`` sets the defaults of ``teacher_tau``,
            ``transpose_xy`` and ``padded_boxes`` to those of the released
            code, whose lift also rounds as ``LSSViewTransform(
            rounding='trunc')``. Defaults to ``'default'``.
        teacher_tau (float, optional): Temperature of the teacher's class
            probabilities. Defaults to None: 1, or 2 in ``'released'``.
        min_radius (int): Minimum radius of a Gaussian, cells. Defaults to 0.
        per_task_mask (bool): Whether to mask the responses of a task only
            with the boxes of its own classes. Defaults to False: the boxes of
            all tasks, as in the released code.
        transpose_xy (bool, optional): Whether the maps are sampled at (y,
            x). Defaults to None: only in ``'released'``.
        padded_boxes (bool, optional): Whether the zeros that fill up the boxes
            of a batch count: as a box at the ego vehicle in a sample without
            boxes, and in the Gaussian mask of samples with fewer boxes than
            others. Defaults to None: only in ``'released'``.
        eps (float): Added to divisors and norms. Defaults to 1e-4.
        kwargs: More arguments of :class:`Distiller`.

    Raises:
        ConfigError: If the path is unknown, or the heads do not correspond.
    """
    roles = ('bev_low', 'bev_high', 'responses')
    needs_labels = True

    def __init__(self,
                 path: Optional[Literal['lidar2camera', 'fusion2camera',
                                        'camera2lidar',
                                        'fusion2lidar']] = None,
                 point_cloud_range: Optional[Sequence[float]] = None,
                 teacher_range: Optional[Sequence[float]] = None,
                 connector: Union[str, dict, None] = 'auto',
                 reg_keys: Sequence[str] = ('reg', 'height', 'dim', 'rot',
                                            'vel'),
                 preset: str = 'default',
                 teacher_tau: Optional[float] = None,
                 min_radius: int = 0,
                 per_task_mask: bool = False,
                 transpose_xy: Optional[bool] = None,
                 padded_boxes: Optional[bool] = None,
                 eps: float = 1e-4,
                 **kwargs) -> None:
        if path is None or point_cloud_range is None:
            raise MismatchError(
                'UniDistill needs `path` and `point_cloud_range`, which these '
                "networks do not settle; it serves detectors on bird's-eye-"
                'view maps, with other sensors in the teacher')
        check_choices('UniDistill', UniDistill, path=path)
        for what in (point_cloud_range, teacher_range or point_cloud_range):
            if len(what) != 6:
                raise ConfigError('UniDistill: a range has six numbers, but '
                                  f'got {what}')
        chosen = fill_from_preset(
            'UniDistill',
            PRESETS,
            preset,
            teacher_tau=teacher_tau,
            transpose_xy=transpose_xy,
            padded_boxes=padded_boxes)
        if chosen['teacher_tau'] <= 0:
            raise ConfigError('UniDistill: teacher_tau must be positive, but '
                              f'got {teacher_tau}')
        self.path, self.default_weights = path, PATHS[path]
        super().__init__(**kwargs)
        self.extent = _flat(point_cloud_range)
        self.teacher_extent = _flat(teacher_range or point_cloud_range)
        self.connector_cfg = connector
        self.reg_keys = tuple(reg_keys)
        self.teacher_tau = chosen['teacher_tau']
        self.transpose_xy = chosen['transpose_xy']
        self.padded_boxes = chosen['padded_boxes']
        self.min_radius = min_radius
        self.per_task_mask = per_task_mask
        self.eps = eps

    # ------------------------------------------------------------- building

    @classmethod
    def settled_options(
            cls, student: Mapping[str, Any],
            teachers: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
        """See the base class; the sensors settle the path."""
        options = super().settled_options(student, teachers)
        teacher = teachers.get('teacher') or next(iter(teachers.values()), {})
        path = f'{teacher.get("sensors")}2{student.get("sensors")}'
        if path in PATHS:
            options['path'] = path
        if 'point_cloud_range' in teacher:
            options['teacher_range'] = teacher['point_cloud_range']
        return options

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Build the connectors and compare the heads."""
        super().setup(student, teacher)
        low, high = 'bev_low', 'bev_high'
        for role in (low, high):
            if len(student[role]) != 1:
                raise ConfigError(
                    f'UniDistill reads one map as {role!r}, but '
                    f'{student[role][0].path} has {len(student[role])}; '
                    "choose one with an index, such as 'bev_neck[0]'")
        channels = {
            role: (student[role][0].channels, teacher[role][0].channels)
            for role in (low, high)
        }
        stronger = self.path == 'camera2lidar'
        connector = self.connector_cfg
        if connector == 'auto' and stronger:
            connector = _CONNECTOR
        # Their names are keys of checkpoints.
        self.adapter_low = build_connector(connector, *channels[low])
        self.adapter_high = build_connector(
            connector if stronger else None,
            *(channels[high] if stronger else (0, 0)))
        self._match_heads(student['responses'], teacher['responses'])

    def _match_heads(self, specs_s: List[TapSpec],
                     specs_t: List[TapSpec]) -> None:
        """Note which tensor is what, and check that both sides agree."""
        branches, self._order_t = match_heads('UniDistill', specs_s, specs_t)
        for name, what in dict(
                class_names='classes of the tasks',
                norm_bbox='coding of boxes').items():
            given = [
                specs[0].attributes.get(name) for specs in (specs_s, specs_t)
            ]
            if None not in given and given[0] != given[1]:
                raise ConfigError(f'UniDistill: the {what} differ: {given[0]} '
                                  f'in the student, {given[1]} in the teacher')
        kinds = [branch.name for branch in branches]
        heat = [i for i, kind in enumerate(kinds) if kind == 'heatmap']
        boxes = [i for i, kind in enumerate(kinds) if kind in self.reg_keys]
        unknown = [key for key in self.reg_keys if key not in kinds]
        if unknown or not heat:
            raise ConfigError(
                f'UniDistill: the heads have no branch '
                f'{unknown[0] if unknown else "heatmap"!r}; they have '
                f'{", ".join(dict.fromkeys(kinds))}')
        # Heatmaps, regressions and classes that share a mask.
        self._groups = [(heat, boxes, None)]
        if self.per_task_mask:
            # Labels are numbered consecutively over the tasks.
            first, self._groups = 0, []
            for i in heat:
                own = [
                    j for j in boxes if branches[j].task == branches[i].task
                ]
                classes = range(first, first + specs_s[i].channels)
                self._groups.append(([i], own, classes))
                first = classes.stop

    # --------------------------------------------------------------- losses

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """See :meth:`Distiller.losses`."""
        active, terms = batch.active_terms, {}
        device = student['bev_low'][0].device
        boxes = [box.to(device) for box in _bev_boxes(batch)]
        if active & {'feature', 'relation'}:
            counted = _padded(boxes, 1) if self.padded_boxes else boxes
            points = [box_key_points(box) for box in counted]
            valid, count = self._valid(torch.cat(points))
        levels = (('feature', 'bev_low', self.adapter_low, key_point_distance),
                  ('relation', 'bev_high', self.adapter_high,
                   relation_distance))
        for term, role, connector, distance in levels:
            if term in active:
                samples = (self._sample(
                    connector(student[role][0]), points, self.extent),
                           self._sample(teacher[role][0], points,
                                        self.teacher_extent))
                terms[term] = distance(
                    *samples, valid=valid, avg_factor=count, eps=self.eps)
        if active & {'response_cls', 'response_reg'}:
            terms.update(
                self._response_losses(student['responses'],
                                      teacher['responses'], batch, boxes))
        return terms

    def _response_losses(self, maps_s: List[Tensor], maps_t: List[Tensor],
                         batch: StepBatch,
                         boxes: List[Tensor]) -> Dict[str, Tensor]:
        """Both response terms, summed over the groups that share a mask."""
        masks = [
            self._mask(maps_s[0], _of_classes(boxes, batch, classes))
            for _, _, classes in self._groups
        ]
        mass = all_reduce_mean(sum(mask.sum() for mask in masks))
        maps_t = [maps_t[i] for i in self._order_t]
        heat, codes = 0., 0.
        for mask, (own, regressions, _) in zip(masks, self._groups):
            heat = heat + masked_distance(
                class_heat([maps_s[i] for i in own]),
                class_heat([maps_t[i] for i in own], self.teacher_tau), mask,
                mass, self.eps)
            codes = codes + masked_distance(
                torch.cat([maps_s[i] for i in regressions], 1),
                torch.cat([maps_t[i]
                           for i in regressions], 1), mask, mass, self.eps)
        return dict(response_cls=heat, response_reg=codes)

    @full_precision
    def _sample(self, feat: Tensor, points: List[Tensor],
                extent: Sequence[float]) -> Tensor:
        return sample_bev(feat, points, extent, self.transpose_xy)

    def _valid(self, points: Tensor) -> Tuple[Optional[Tensor], Tensor]:
        """Points (N, 9) in the range of both maps, None for all; and the
        number of boxes with such points."""
        if self.extent == self.teacher_extent:
            return None, all_reduce_mean(
                points.new_full((), float(len(points))))
        valid = points_in_range(points, self.extent) & points_in_range(
            points, self.teacher_extent)
        return valid, all_reduce_mean(valid.any(1).sum().float())

    def _mask(self, like: Tensor, boxes: List[Tensor]) -> Tensor:
        if self.padded_boxes:
            boxes = _padded(boxes, max(map(len, boxes), default=0))
        return box_gaussian_mask(
            boxes,
            tuple(like.shape[-2:]),
            self.extent,
            min_radius=self.min_radius)

    # ------------------------------------------------------------- pictures

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Class heat and low-level features of both sides, and the boxes."""
        heats = [i for own, _, _ in self._groups for i in own]
        heat_s = class_heat([student['responses'][i] for i in heats])
        heat_t = class_heat(
            [teacher['responses'][self._order_t[i]] for i in heats])
        low = [
            feat.float().norm(dim=1)
            for feat in (self.adapter_low(student['bev_low'][0]),
                         teacher['bev_low'][0])
        ]
        boxes = [box.to(heat_s.device) for box in _bev_boxes(batch)]
        own, other = self.extent, self.teacher_extent
        common = dict(limits=(0., 1.), extent=own)
        return [
            Heatmap('class heat, student', heat_s, **common),
            Heatmap('class heat, teacher', heat_t, **common),
            Heatmap('blobs of the boxes', self._mask(heat_s, boxes), **common),
            Heatmap('low level, student', low[0], 'low', extent=own),
            Heatmap('low level, teacher', low[1], 'low', extent=other)
        ]


def _flat(point_cloud_range: Sequence[float]) -> Tuple[float, ...]:
    """Lower x and y, upper x and y."""
    return tuple(float(point_cloud_range[i]) for i in (0, 1, 3, 4))


def _padded(boxes: List[Tensor], least: int) -> List[Tensor]:
    """The boxes, with one of zeros in samples with fewer than ``least``."""
    return [
        torch.cat([own, own.new_zeros(1, 5)]) if len(own) < least else own
        for own in boxes
    ]


def _of_classes(boxes: List[Tensor], batch: StepBatch,
                classes: Optional[range]) -> List[Tensor]:
    """The boxes, with those of other classes infinitely far away; None means
    that all classes stay."""
    if classes is None:
        return boxes
    found = []
    for box, sample in zip(boxes, batch.data_samples or []):
        own = sample.gt_instances_3d.labels_3d.to(box.device)
        other = (own < classes.start) | (own >= classes.stop)
        centre = box[:, :2].masked_fill(other[:, None], torch.inf)
        found.append(torch.cat([centre, box[:, 2:]], 1))
    return found


def _bev_boxes(batch: StepBatch) -> List[Tensor]:
    """(n, 5) of each sample: x, y, length, width, yaw."""
    found = []
    for sample in batch.data_samples or []:
        truth = sample.get('gt_instances_3d')
        if truth is None or 'bboxes_3d' not in truth:
            raise ConfigError(
                "UniDistill needs boxes ('gt_bboxes_3d') in the training "
                'batch; it serves 3D detection only')
        found.append(truth.bboxes_3d.bev.float())
    return found
