"""Distillation with a teaching assistant (MonoTAKD)."""
from typing import (ClassVar, Dict, List, Literal, Mapping, Optional, Tuple,
                    Union)

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller, TapsLike
from mmkd.core.heads import match_heads
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual
from mmkd.errors import ConfigError
# isort and yapf break this import in different ways.
# yapf: disable
from mmkd.methods.monotakd.losses import (center_box_distance,
                                          center_class_distance, map_distance,
                                          min_max, residual_target,
                                          soft_anchor_weights,
                                          soft_box_distance,
                                          soft_class_distance,
                                          soft_direction_distance)
# yapf: enable
from mmkd.ops.connectors import build_connector
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices, fill_from_preset

#: Weights of the soft labels by kind of head, as in the released code.
HEADS = dict(anchor=dict(cls=2., box=2., dir=.4), center=dict(cls=1., box=4.))
#: Options of each preset.
PRESETS = dict(
    default=dict(
        keep_ratio=.6, per_batch=False, normalise='none', batch_sum=False),
    arxiv_v1=dict(
        keep_ratio=0., per_batch=False, normalise='none', batch_sum=True),
    released=dict(
        keep_ratio=.6, per_batch=True, normalise='minmax', batch_sum=True))
#: Outputs of an Anchor3DHead.
_ANCHOR_OUTPUTS = ('cls_score', 'bbox_pred', 'dir_cls_pred')


class SoftLabels(Distiller):
    """Base class of both stages of MonoTAKD: the teacher's head as soft
    labels.

    Args:
        head (str): ``'anchor'`` for ``Anchor3DHead`` or ``'center'`` for
            ``CenterHead``. In a config, the student settles it. Defaults to
            ``'anchor'``.
        min_score (float): Minimum score of confident predictions of the
            teacher. The class loss of a centre head counts those above 0.3
            instead, as published. Defaults to 0.1.
        batch_sum (bool): See :func:`soft_class_distance`; with anchors only,
            since the class loss of a centre head is divided by a count over
            the batch. Defaults to False.
        kwargs: More arguments of :class:`Distiller`.

    Raises:
        ConfigError: If an option is invalid.
    """
    needs_head = True
    #: Weights of the terms on maps; those of the head depend on its kind.
    map_weights: ClassVar[Dict[str, float]] = {}

    def __init__(self,
                 head: Literal['anchor', 'center'] = 'anchor',
                 min_score: float = .1,
                 batch_sum: bool = False,
                 **kwargs) -> None:
        name = type(self).__name__
        check_choices(name, SoftLabels, head=head)
        if batch_sum and head == 'center':
            raise ConfigError(
                f"{name}: batch_sum needs head='anchor'; the class loss of a "
                'CenterHead is divided by a count over the batch')
        self.default_weights = {**self.map_weights, **HEADS[head]}
        super().__init__(**kwargs)
        self.head, self.min_score, self.batch_sum = head, min_score, batch_sum

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Identify the tensors of the heads."""
        super().setup(student, teacher)
        name = type(self).__name__
        branches, self._order_t = match_heads(name, student['head_maps'],
                                              teacher['head_maps'])
        #: Where each output lies in the student's list, by task and name.
        self._index: Dict[Optional[int], Dict[str, int]] = {}
        for i, branch in enumerate(branches):
            self._index.setdefault(branch.task, {})[branch.name] = i
        found = ', '.join(spec.path for spec in student['head_maps'])
        if self.head == 'anchor':
            if len(branches) != len(_ANCHOR_OUTPUTS) or set(
                    self._index.get(None, ())) != set(_ANCHOR_OUTPUTS):
                raise ConfigError(
                    f"{name}: head='anchor' reads the scores, codes and "
                    'directions of an Anchor3DHead on one map, but found '
                    f"{found}; a CenterHead needs head='center'")
            directions = self._index[None]['dir_cls_pred']
            self._anchors = student['head_maps'][directions].shape[1] // 2
        elif not all('heatmap' in task for task in self._index.values()):
            raise ConfigError(
                f"{name}: head='center' reads the tasks of a CenterHead, but "
                f"found {found}; an Anchor3DHead needs head='anchor'")

    def head_losses(self, maps_s: List[Tensor],
                    maps_t: List[Tensor]) -> Dict[str, Tensor]:
        """Terms between two heads; the tensors of the place ``head_maps``."""
        maps_t = [maps_t[i] for i in self._order_t]
        if self.head == 'anchor':
            (cls_s, reg_s, dir_s), (cls_t, reg_t, dir_t) = ([
                self._by_anchor(maps[self._index[None][name]])
                for name in _ANCHOR_OUTPUTS
            ] for maps in (maps_s, maps_t))
            weights = soft_anchor_weights(cls_t, self.min_score)
            return dict(
                cls=soft_class_distance(cls_s, cls_t, self.min_score,
                                        self.batch_sum),
                box=soft_box_distance(reg_s, reg_t, weights),
                dir=soft_direction_distance(dir_s, dir_t, weights))
        classes, boxes = 0., 0.
        for task in self._index.values():
            heat_s, heat_t = maps_s[task['heatmap']], maps_t[task['heatmap']]
            codes = [i for name, i in task.items() if name != 'heatmap']
            classes = classes + center_class_distance(heat_s, heat_t)
            boxes = boxes + center_box_distance(
                torch.cat([maps_s[i] for i in codes], 1),
                torch.cat([maps_t[i]
                           for i in codes], 1), heat_t, self.min_score)
        return dict(cls=classes, box=boxes)

    def _by_anchor(self, values: Tensor) -> Tensor:
        """(B, A * K, H, W) to (B, H * W * A, K)."""
        channels = values.size(1) // self._anchors
        return values.permute(0, 2, 3, 1).reshape(values.size(0), -1, channels)


@DISTILLERS.register_module()
class MonoTAKD(SoftLabels):
    r"""Learn from an assistant, and from its residual to the teacher.

    `MonoTAKD: Teaching Assistant Knowledge Distillation for Monocular 3D
    Object Detection <https://arxiv.org/abs/2404.04910>`_ (Liu et al., CVPR
    2025). Two frozen networks: ``teacher``, a LiDAR detector, and
    ``assistant``, a camera detector that lifts with true depth (a
    ``BEVDetector`` with ``depth_source='points'``, trained with
    :class:`MonoTAKDAssistant`). The student's camera branch is split in two
    (:class:`ResidualBranches`):

    - ``intra``: squared difference of the visual branch and the
      assistant's map (intra-modal distillation);
    - ``residual``: squared difference of the aligned spatial branch and the
      residual of teacher and assistant (:func:`residual_target`);
    - ``cls``, ``box`` and, with anchors, ``dir``: the
      teacher's head as soft labels, without ground truth.

    The weights are those of the released code: 1 and 0.2 (1 in the paper)
    on the maps; 2, 2 and 0.4 with anchors, 1 and 4 with a centre head.

    A sample without a LiDAR point in any image is excluded from the first two
    terms, since the assistant has no information about it.

    Args:
        head (str): See :class:`SoftLabels`. Defaults to ``'anchor'``.
        preset (str): Defaults of ``keep_ratio``, ``per_batch``, ``normalise``
            and ``batch_sum``: ``'default'``; ``'arxiv_v1'``, the code of
            March 2024, which keeps every residual; or ``'released'``, the code
            of April 2025. The latter two sum the class loss of anchors over
            the batch.
            All three have the same weights. Defaults to ``'default'``.
        keep_ratio (float, optional): Residuals below this fraction of the
            maximum are set to 0. Defaults to None: 0.6, or 0 in
            ``'arxiv_v1'``.
        per_batch (bool, optional): Whether the maximum is over the batch
            instead of the sample. Defaults to None: only in ``'released'``.
        normalise (str, optional): ``'minmax'`` scales the assistant's map and
            the visual branch, but not the teacher's map, to between 0 and 1
            (:func:`min_max`); ``'none'`` does not. Defaults to None:
            ``'none'``, except in ``'released'``.
        batch_sum (bool, optional): See :class:`SoftLabels`. Defaults to
            None: with anchors, that of the preset.
        signed (bool): Whether the residual keeps its sign; for branches with
            ``alignment=dict(last_relu=False)``. Defaults to False.
        binary (bool): Whether to set the kept residuals to 1. Defaults to
            False.
        empty_weight (float): Weight in ``intra`` and ``residual`` of cells
            where the assistant's map is 0; 0.05 is an option of the released
            code. Defaults to 1.
        connector (str | dict | None): On both branches, if their channels
            differ from those of teacher and assistant. Defaults to
            ``'auto'``.
        resize_teacher (bool): Whether the teacher's map is resized to the
            size of the assistant's. Defaults to False: different sizes are an
            error.
        kwargs: More arguments of :class:`SoftLabels`. The default taps are
            ``img_bev_encoder.visual`` and
            ``img_bev_encoder.alignment`` of the student, ``bev_low`` of
            ``teacher``, ``bev_backbone@input`` and ``view_transform[0]`` of
            ``assistant``, and ``head_maps`` of student and teacher.

    Raises:
        ConfigError: If an option is invalid, or maps or heads do not match.
    """
    roles = ('bev_visual', 'bev_spatial', 'head_maps')
    map_weights = dict(intra=1., residual=.2)
    teacher_roles = ('bev_low', 'bev_assistant', 'bev_lifted', 'head_maps')

    def __init__(self,
                 head: Literal['anchor', 'center'] = 'anchor',
                 preset: str = 'default',
                 keep_ratio: Optional[float] = None,
                 per_batch: Optional[bool] = None,
                 normalise: Optional[Literal['none', 'minmax']] = None,
                 batch_sum: Optional[bool] = None,
                 signed: bool = False,
                 binary: bool = False,
                 empty_weight: float = 1.,
                 connector: Union[str, dict, None] = 'auto',
                 resize_teacher: bool = False,
                 student: TapsLike = None,
                 teacher: TapsLike = None,
                 **kwargs) -> None:
        chosen = fill_from_preset(
            'MonoTAKD',
            PRESETS,
            preset,
            keep_ratio=keep_ratio,
            per_batch=per_batch,
            normalise=normalise,
            batch_sum=batch_sum)
        if not 0 <= chosen['keep_ratio'] <= 1 or empty_weight < 0:
            raise ConfigError('MonoTAKD: keep_ratio lies in [0, 1] and '
                              'empty_weight is not negative, but got '
                              f'{keep_ratio} and {empty_weight}')
        check_choices('MonoTAKD', MonoTAKD, normalise=normalise)
        super().__init__(
            head=head,
            batch_sum=bool(chosen['batch_sum'] if head ==
                           'anchor' else batch_sum),
            student=_with_defaults(
                student,
                bev_visual='img_bev_encoder.visual',
                bev_spatial='img_bev_encoder.alignment'),
            teacher=_with_defaults(
                teacher,
                bev_assistant='assistant:bev_backbone@input',
                bev_lifted='assistant:view_transform[0]'),
            **kwargs)
        self.normalise = chosen['normalise'] == 'minmax'
        self.residual = dict(
            keep_ratio=chosen['keep_ratio'],
            per_batch=chosen['per_batch'],
            signed=signed,
            binary=binary)
        self.empty_weight = empty_weight
        self.connector, self.resize_teacher = connector, resize_teacher

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Compare the maps, and build the connectors of the branches."""
        super().setup(student, teacher)
        theirs, assistant = teacher['bev_low'][0], teacher['bev_assistant'][0]
        sizes = {
            name: tuple(spec.shape[-2:])
            for name, spec in dict(
                teacher=theirs,
                assistant=assistant,
                student=student['bev_visual'][0]).items()
        }
        if theirs.channels != assistant.channels:
            raise ConfigError(
                f'MonoTAKD: the map of the teacher ({theirs.path}) has '
                f'{theirs.channels} channels and that of the assistant '
                f'({assistant.path}) {assistant.channels}; their difference '
                'needs as many')
        if sizes['student'] != sizes['assistant'] or (
                sizes['teacher'] != sizes['assistant']
                and not self.resize_teacher):
            raise ConfigError(
                'MonoTAKD: the maps have '
                f'{sizes["teacher"]} (teacher), {sizes["assistant"]} '
                f'(assistant) and {sizes["student"]} cells (student); make '
                'them equal, or resize the first with resize_teacher=True')
        spatial = student['bev_spatial'][0]
        if self.residual['signed'] and spatial.attributes.get('last_relu'):
            raise ConfigError(
                f'MonoTAKD: {spatial.path} is never negative; a signed '
                'residual needs alignment=dict(last_relu=False)')
        self.connector_visual, self.connector_spatial = (
            build_connector(self.connector, student[role][0].channels,
                            assistant.channels)
            for role in ('bev_visual', 'bev_spatial'))

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Terms by name; see the class."""
        visual, spatial, assistant, residual = self._maps(student, teacher)
        seen = teacher['bev_lifted'][0].flatten(1).ne(0).any(1)
        seen = seen.view(-1, 1, 1, 1).to(assistant)
        filled = assistant.sum(1, keepdim=True) != 0
        cells = filled.to(seen) * (1 - self.empty_weight) + self.empty_weight
        return dict(
            intra=map_distance(visual, assistant, seen * cells),
            residual=map_distance(spatial, residual, seen * cells),
            **self.head_losses(student['head_maps'], teacher['head_maps']))

    def _maps(
        self, student: Dict[str, List[Tensor]],
        teacher: Dict[str,
                      List[Tensor]]) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """Both branches, the assistant's map, and the residual."""
        theirs, assistant = teacher['bev_low'][0], teacher['bev_assistant'][0]
        if theirs.shape[2:] != assistant.shape[2:]:
            theirs = F.interpolate(
                theirs,
                assistant.shape[2:],
                mode='bilinear',
                align_corners=False)
        visual = self.connector_visual(student['bev_visual'][0])
        if self.normalise:
            visual, assistant = min_max(visual), min_max(assistant)
        return (visual, self.connector_spatial(student['bev_spatial'][0]),
                assistant, residual_target(theirs, assistant, **self.residual))

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Features of all networks in bird's-eye view, and the residuals."""
        visual, spatial, assistant, residual = self._maps(student, teacher)
        bounds = batch.head.point_cloud_range
        extent = tuple(bounds[i] for i in (0, 1, 3, 4))
        maps = {
            'teacher': (teacher['bev_low'][0], ''),
            'assistant': (assistant, 'visual'),
            'visual branch': (visual, 'visual'),
            'residual': (residual, 'residual'),
            'spatial branch': (spatial, 'residual')
        }
        return [
            Heatmap(
                name,
                feat.float().norm(dim=1),
                "features in bird's-eye view",
                scale=scale,
                extent=extent,
                changes='branch' in name)
            for name, (feat, scale) in maps.items()
        ]


@DISTILLERS.register_module()
class MonoTAKDAssistant(SoftLabels):
    """Train the assistant of :class:`MonoTAKD` from its teacher.

    The released code has no recipe for this stage. As in its history, the
    assistant's map is matched to that of the LiDAR (``feature``, mean squared
    difference, with the weight 32), and its head to the teacher's.

    Args:
        head (str): See :class:`SoftLabels`. Defaults to ``'anchor'``.
        connector (str | dict | None): On the assistant's map, if its channels
            differ. MonoTAKD needs the same number as in the teacher. Defaults
            to None.
        kwargs: More arguments of :class:`SoftLabels`. Standard places are
            ``bev_low`` and ``head_maps``.

    Raises:
        ConfigError: If maps or heads do not match.
    """
    roles = ('bev_low', 'head_maps')
    map_weights = dict(feature=32.)

    def __init__(self,
                 head: Literal['anchor', 'center'] = 'anchor',
                 connector: Union[str, dict, None] = None,
                 **kwargs) -> None:
        super().__init__(head=head, **kwargs)
        self.connector = connector

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Compare the maps."""
        super().setup(student, teacher)
        own, theirs = student['bev_low'][0], teacher['bev_low'][0]
        if own.shape[-2:] != theirs.shape[-2:]:
            raise ConfigError(
                f'MonoTAKDAssistant: {own.path} has {tuple(own.shape[-2:])} '
                f'cells, but {theirs.path} of the teacher '
                f'{tuple(theirs.shape[-2:])}; both networks need one grid')
        self.adapter = build_connector(self.connector, own.channels,
                                       theirs.channels)

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Terms by name; see the class."""
        return dict(
            feature=map_distance(
                self.adapter(student['bev_low'][0]), teacher['bev_low'][0]),
            **self.head_losses(student['head_maps'], teacher['head_maps']))


def _with_defaults(taps: TapsLike, **defaults: str) -> TapsLike:
    """Taps by role, with defaults for mmkd's own detectors."""
    if taps is None:
        return defaults
    if not isinstance(taps, Mapping) or 'module' in taps:
        return taps  # the base class refuses it
    return {**defaults, **taps}
