"""Masked distillation with receptive tokens (MasKD)."""
from typing import Any, Dict, List, Literal, Mapping, Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.features import build_connectors, check_features
from mmkd.core.schedule import Progress, WeightSchedule
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual, feature_distance
from mmkd.errors import ConfigError, MismatchError
from mmkd.methods.maskd.losses import masked_distance
from mmkd.methods.maskd.tokens import TokenMasks, read_tokens
from mmkd.ops.masks import zero_like_graph
from mmkd.ops.precision import full_precision
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices, fill_from_preset

#: Published options and weights by kind of student.
PRESETS: Dict[str, Dict[str, Any]] = dict(
    retinanet=dict(
        warmup=7000,
        boxes='dense',
        box_loss='l1',
        weights=dict(feat=7.0, boxes=1.0)),
    two_stage=dict(
        warmup=7330,
        boxes='rois',
        box_loss='smooth_l1',
        weights=dict(feat=1.0, boxes=1.0)),
    one_stage=dict(
        warmup=5000, boxes='none', box_loss='l1', weights=dict(feat=10.0)),
    segmentation=dict(
        warmup=1.0, boxes='none', box_loss='l1', weights=dict(feat=0.5)))


@DISTILLERS.register_module()
class MasKD(Distiller):
    r"""Match features inside the regions of the teacher's receptive tokens.

    `Masked Distillation with Receptive Tokens
    <https://arxiv.org/abs/2205.14589>`_ (Huang et al., ICLR 2023). The tokens
    are learned before, on the teacher
    (:class:`~mmkd.methods.maskd.tokens.ReceptiveTokens`), and are frozen
    here. Terms:

    - ``feat``: :func:`masked_distance`, summed over the levels. In detection,
      tokens have weights, and after ``warmup`` the masks are products of the
      teacher's masks and those that the same tokens have in the student;
    - ``boxes``: distance of the box codes of both heads, before decoding.
      RetinaNet: mean of each level, summed. Detectors of two stages: mean
      over the boxes on which the student's RoI head trains.

    Args:
        student (str | list | dict, optional): Taps in the student. Defaults
            to None: the class scores of a segmentation head, or all levels of
            the neck of a detector.
        teacher (str | list | dict, optional): The same in the teacher.
            Defaults to None.
        masks (str): Checkpoint of the tokens; ``'random'`` draws untrained
            ones, for tests. Required.
        preset (str, optional): Selects the published defaults:
            ``'retinanet'``, ``'two_stage'``, ``'one_stage'`` (FCOS) or
            ``'segmentation'``. In a config, defaults to that of the student;
            required for others, such as 3D detectors.
        warmup (int | float, optional): Iterations until masks are products,
            or a fraction of the run as a float; 1.0 means never. Defaults to
            None: of the preset.
        boxes (str, optional): Which heads ``boxes`` compares: ``'dense'``,
            ``'rois'`` or ``'none'``. Defaults to None: of the preset.
        box_loss (str, optional): ``'l1'`` or ``'smooth_l1'``. Defaults to
            None: of the preset.
        connector (str | dict | None): Applied to the student's maps.
            ``'auto'``, as published: a 1x1 convolution, also for equal
            channels, but none for class scores. Defaults to ``'auto'``.
        kwargs: Arguments of :class:`Distiller`, such as ``weights``.

    Raises:
        ConfigError: If an option is invalid, or ``masks`` or ``preset`` is
            missing.
    """
    roles = ('maps', )
    needs_weights_hash = True

    def __init__(self,
                 student=None,
                 teacher=None,
                 masks: Optional[str] = None,
                 preset: Optional[str] = None,
                 warmup: Union[int, float, None] = None,
                 boxes: Optional[Literal['dense', 'rois', 'none']] = None,
                 box_loss: Optional[Literal['l1', 'smooth_l1']] = None,
                 connector: Union[str, dict, None] = 'auto',
                 **kwargs) -> None:
        if masks is None:
            raise ConfigError(
                'MasKD needs `masks`, the checkpoint of the tokens that were '
                'learned on the teacher before (docs/methods/maskd.md)')
        if preset is None:
            raise MismatchError(
                'MasKD has no published settings for this student; give '
                f'`preset`, one of {", ".join(PRESETS)}')
        options = fill_from_preset(
            'MasKD',
            PRESETS,
            preset,
            warmup=warmup,
            boxes=boxes,
            box_loss=box_loss)
        check_choices(
            'MasKD',
            MasKD,
            boxes=options['boxes'],
            box_loss=options['box_loss'])
        self.boxes = options['boxes']
        self.default_weights = dict(PRESETS[preset]['weights'])
        if self.boxes == 'none':
            self.default_weights.pop('boxes', None)
        else:
            self.default_weights.setdefault('boxes', 1.0)
            dense = self.boxes == 'dense'
            self.roles = ('maps', 'dense_boxes' if dense else 'roi_boxes')
            self.teacher_roles = self.roles if dense else ('maps', )
            self.dense_heads = ('retinanet', ) if dense else ()
            self.needs_rois = self.needs_labels = not dense
        super().__init__(student=student, teacher=teacher, **kwargs)
        self.masks = masks
        self.box_loss = options['box_loss']
        self.connector_cfg = connector
        try:
            self._joint = WeightSchedule(begin=options['warmup'])
        except ConfigError as error:
            raise ConfigError(f'MasKD, warmup: {error}') from None

    @classmethod
    def settled_options(
            cls, student: Mapping[str, Any],
            teachers: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
        """See the base class; the student settles the preset."""
        if 'num_classes' in student:
            return dict(preset='segmentation')
        if 'two_stage' not in student:
            return {}
        if student['two_stage']:
            # A student with a cascade trains each stage on other boxes. A
            # teacher's first stage serves, but many cascades have one code
            # for all classes.
            codes = student.get('roi_single') and student['roi_codes']
            if codes and all(
                    teacher.get('roi_codes') == codes
                    for teacher in teachers.values()):
                return dict(preset='two_stage')
            return dict(preset='two_stage', boxes='none')
        retina = student.get('dense_head') == 'retinanet'
        return dict(preset='retinanet' if retina else 'one_stage')

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Build a connector for each level, and read the tokens."""
        super().setup(student, teacher)
        levels_s, levels_t = student['maps'], teacher['maps']
        check_features('MasKD', levels_s, levels_t, resize=False)
        self._teacher = levels_t[0].network or ''
        scores = levels_t[0].kind == 'logits'
        if self.connector_cfg != 'auto':
            self.connectors = build_connectors(self.connector_cfg, levels_s,
                                               levels_t)
        elif scores:
            self.connectors = build_connectors(None, levels_s, levels_t)
        else:
            self.connectors = nn.ModuleList(
                nn.Conv2d(spec_s.channels, spec_t.channels, 1)
                for spec_s, spec_t in zip(levels_s, levels_t))
        self.tokens = nn.ModuleList([
            TokenMasks(spec.channels, 8 if scores else 6, not scores)
            for spec in levels_t
        ] if self.masks == 'random' else read_tokens(self.masks, levels_t))
        self.tokens.requires_grad_(False)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args:
                              Any) -> None:
        """Keep the tokens of `masks`: those of an older run may belong to
        another teacher."""
        if self.masks != 'random':
            state_dict.update(
                self.tokens.state_dict(prefix=f'{prefix}tokens.'))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _is_joint(self, progress: Progress) -> bool:
        """Whether masks are products now."""
        if self._joint.needs_length() and not progress.max_iters:
            return False
        return self._joint(progress) > 0

    @full_precision
    def _masks(self, level: int, feat_s: Tensor, feat_t: Tensor,
               progress: Progress) -> Tensor:
        """Masks (N, n, H, W) of a level, without a gradient."""
        with torch.no_grad():
            tokens = self.tokens[level]
            masks = tokens.masks(feat_t)
            return masks * tokens.masks(feat_s) if self._is_joint(
                progress) else masks

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute the active terms."""
        terms: Dict[str, Tensor] = {}
        if 'feat' in batch.active_terms:
            found = []
            for i, (feat_s, feat_t) in enumerate(
                    zip(student['maps'], teacher['maps'])):
                feat_s = self.connectors[i](feat_s)
                found.append(
                    masked_distance(
                        feat_s, feat_t,
                        self._masks(i, feat_s, feat_t, batch.progress),
                        self.tokens[i].weights(feat_t)))
            terms['feat'] = sum(found)
        if 'boxes' in batch.active_terms:
            terms['boxes'] = self._box_distance(student, teacher, batch)
        return terms

    def _box_distance(self, student: Dict[str, List[Tensor]],
                      teacher: Dict[str,
                                    List[Tensor]], batch: StepBatch) -> Tensor:
        if self.boxes == 'dense':
            boxes_s, boxes_t = student['dense_boxes'], teacher['dense_boxes']
        else:
            boxes_s = student['roi_boxes']
            boxes_t = [
                batch.roi_features(self._teacher, teacher['maps']).boxes
            ]
        for own, theirs in zip(boxes_s, boxes_t):
            if own.shape != theirs.shape:
                raise MismatchError(
                    f'MasKD: the box codes of the student {tuple(own.shape)} '
                    f'and those of the teacher {tuple(theirs.shape)} differ; '
                    'give both heads one `reg_class_agnostic` and the same '
                    "anchors, or set boxes='none'")
        distance = F.l1_loss if self.box_loss == 'l1' else F.smooth_l1_loss
        return sum(
            full_precision(distance)
            (own, theirs) if own.numel() else zero_like_graph(own)
            for own, theirs in zip(boxes_s, boxes_t))

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Masks of the tokens, and the distance of the maps, level by
        level."""
        visuals: List[Visual] = []
        for i, (feat_s,
                feat_t) in enumerate(zip(student['maps'], teacher['maps'])):
            feat_s = self.connectors[i](feat_s)
            masks = self._masks(i, feat_s, feat_t, batch.progress)
            level = f'level {i}'
            visuals += [
                Heatmap(
                    f'mask {k}',
                    masks[:, k],
                    level,
                    limits=(0, 1),
                    changes=self._is_joint(batch.progress))
                for k in range(masks.size(1))
            ]
            visuals.append(
                Heatmap(
                    'distance of the features',
                    feature_distance(feat_s, feat_t),
                    level,
                    changes=True))
        return visuals
