"""Focal and global distillation (FGD)."""
from typing import (Any, Dict, FrozenSet, List, Literal, Mapping, Optional,
                    Tuple, Union)

from mmcv.cnn.bricks import ContextBlock
from torch import Tensor, nn

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.features import build_connectors, check_features, match_student
from mmkd.core.logits import check_tau
from mmkd.core.taps.tap import TapSpec
from mmkd.core.visuals import Heatmap, Visual, feature_distance
from mmkd.errors import ConfigError
from mmkd.methods.fgd.losses import (attention_loss, attention_maps, box_masks,
                                     focal_distances)
from mmkd.ops.distances import squared_distance
from mmkd.ops.precision import full_precision
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import check_choices, fill_from_preset

#: Published temperature and weights by kind of student.
PRESETS = dict(
    one_stage=dict(
        tau=0.5, weights=dict(fg=1e-3, bg=5e-4, att=5e-4, global_=5e-6)),
    two_stage=dict(
        tau=0.5, weights=dict(fg=5e-5, bg=2.5e-5, att=5e-5, global_=5e-7)),
    reppoints=dict(
        tau=0.5, weights=dict(fg=1.6e-3, bg=8e-4, att=8e-4, global_=8e-6)),
    fcos=dict(
        tau=0.8, weights=dict(fg=1.6e-3, bg=8e-4, att=8e-4, global_=8e-6)))


@DISTILLERS.register_module()
class FGD(Distiller):
    r"""Distil objects, background, attention and global context separately.

    `Focal and Global Knowledge Distillation for Detectors
    <https://arxiv.org/abs/2111.11837>`_ (Yang et al., CVPR 2022). Four terms
    on the maps of the neck, each summed over channels, cells and levels and
    averaged over the images:

    - ``fg``, ``bg``: squared distance in the cells of objects and of the
      background, weighted by the teacher's attention to cells and channels
      (:func:`box_masks`, :func:`focal_distances`);
    - ``att``: absolute difference of the attention of both networks
      (:func:`attention_maps`);
    - ``global_``: squared distance after a context block on each side,
      mmcv's ``ContextBlock`` (GCNet). The blocks are trained with the student
      but are not part of it.

    ``L = L_task + alpha L_fg + beta L_bg + gamma L_att + lambda L_global``,
    whose letters are the weights of the terms. Only boxes are read from the
    ground truth, not classes. In an image without objects, all cells are
    background. There is one deviation: the released code scales boxes by each
    image's size before padding, although the map covers the padded batch,
    which stretches the boxes of smaller images. Here, boxes are scaled by the
    size of the batch; ``box_scale='img'`` restores the published behaviour.

    Args:
        student (str | list[str], optional): Taps (N, C, H, W) in the
            student. Defaults to None: the neck levels that have their own
            convolution. The released code reads these convolutions,
            ``'neck.fpn_convs.0.conv'`` and so on, which is the same unless
            the neck has normalisation layers.
        teacher (str | list[str], optional): Taps (N, C', H', W') in the
            teacher. Defaults to None.
        preset (str): Selects the published defaults of the temperature and the
            weights: ``'one_stage'`` (RetinaNet, GFL,
            SOLO), ``'two_stage'`` (Faster and Mask R-CNN), ``'reppoints'``
            or ``'fcos'``. Defaults to ``'one_stage'``; in a
            config, to ``'two_stage'`` for detectors of two stages and to
            ``'fcos'`` for FCOS.
        tau (float, optional): Temperature of the attention. Defaults to
            None.
        box_scale (str): ``'batch'`` or ``'img'``, see above. Defaults to
            ``'batch'``.
        connector (str | dict | None): Applied before all terms: ``'auto'`` (a
            1x1 convolution if the channels differ), None, or the config of a
            connector. Defaults to ``'auto'``.
        resize (bool): Whether to resize the student's map bilinearly to the
            teacher's size; otherwise, different sizes are an error. Defaults
            to False.
        kwargs: Arguments of :class:`Distiller`, such as ``weights``.
    """

    roles = ('features', )
    needs_labels = True

    two_stage_options = dict(preset='two_stage')

    def __init__(self,
                 student=None,
                 teacher=None,
                 preset: str = 'one_stage',
                 tau: Optional[float] = None,
                 box_scale: Literal['batch', 'img'] = 'batch',
                 connector: Union[str, dict, None] = 'auto',
                 resize: bool = False,
                 **kwargs) -> None:
        tau = fill_from_preset('FGD', PRESETS, preset, tau=tau)['tau']
        self.default_weights = PRESETS[preset]['weights']
        super().__init__(student=student, teacher=teacher, **kwargs)
        check_tau('FGD', tau=tau)
        check_choices('FGD', FGD, box_scale=box_scale)
        self.tau = tau
        self.box_scale = box_scale
        self.connector_cfg = connector
        self.resize = resize

    @classmethod
    def settled_options(
            cls, student: Mapping[str, Any],
            teachers: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
        """See the base class; of an FCOS, the preset as well."""
        if student.get('dense_head') == 'fcos':
            return dict(preset='fcos')
        return super().settled_options(student, teachers)

    def setup(self, student: Dict[str, List[TapSpec]],
              teacher: Dict[str, List[TapSpec]]) -> None:
        """Build a connector and two context blocks for each level."""
        super().setup(student, teacher)
        levels_s, levels_t = student['features'], teacher['features']
        check_features('FGD', levels_s, levels_t, self.resize)
        for spec in levels_t:
            if spec.channels < 2:
                raise ConfigError('FGD: its context blocks need 2 channels at '
                                  f'least, but {spec.path!r} has one')
        self.connectors = build_connectors(self.connector_cfg, levels_s,
                                           levels_t)
        self.contexts_s, self.contexts_t = (
            nn.ModuleList(
                ContextBlock(spec.channels, ratio=1 / 2) for spec in levels_t)
            for _ in range(2))

    def _boxes(self, batch: StepBatch) -> Tuple[list, list]:
        """Boxes of each image, and the image size that its map covers."""
        boxes = [instances.boxes for instances in batch.instances]
        frames = batch.image_sizes if self.box_scale == 'img' else [
            batch.input_size
        ] * len(boxes)
        return boxes, frames

    def visuals(self, student: Dict[str, List[Tensor]],
                teacher: Dict[str,
                              List[Tensor]], batch: StepBatch) -> List[Visual]:
        """Attention of both sides, weights of the objects' cells, and the
        distance of the features, level by level."""
        boxes, frames = self._boxes(batch)
        visuals: List[Visual] = []
        for i, (connector, feat_s, feat_t) in enumerate(
                zip(self.connectors, student['features'],
                    teacher['features'])):
            feat_s = match_student('FGD', connector(feat_s), feat_t,
                                   self.resize)
            level = f'level {i}'
            for side, feat in (('teacher', feat_t), ('student', feat_s)):
                visuals.append(
                    Heatmap(
                        f'attention of the {side}',
                        attention_maps(feat, self.tau)[0],
                        level,
                        scale=f'attention, {level}',
                        changes=side == 'student'))
            objects = box_masks(boxes, frames, feat_t.shape[2:])[0]
            visuals += [
                Heatmap('weight of the objects', objects, level, log=True),
                Heatmap(
                    'distance of the features',
                    feature_distance(feat_s, feat_t),
                    level,
                    changes=True)
            ]
        return visuals

    def losses(self, student: Dict[str, List[Tensor]],
               teacher: Dict[str, List[Tensor]],
               batch: StepBatch) -> Dict[str, Tensor]:
        """Compute the terms, each summed over the levels."""
        boxes, frames = self._boxes(batch)
        terms: Dict[str, List[Tensor]] = {
            term: []
            for term in self.weights if term in batch.active_terms
        }
        for i, (feat_s, feat_t) in enumerate(
                zip(student['features'], teacher['features'])):
            feat_s = match_student('FGD', self.connectors[i](feat_s), feat_t,
                                   self.resize)
            masks = box_masks(boxes, frames, feat_t.shape[2:])
            found = self.level_losses(i, feat_s, feat_t, masks,
                                      batch.active_terms)
            for term, loss in found.items():
                terms[term].append(loss)
        return {term: sum(losses) for term, losses in terms.items()}

    # Attention sums to the number of cells, which can exceed float16.
    @full_precision
    def level_losses(self, level: int, feat_s: Tensor, feat_t: Tensor,
                     masks: Tuple[Tensor, Tensor],
                     active: FrozenSet[str]) -> Dict[str, Tensor]:
        """Compute the active terms of a level, in float32.

        Args:
            level (int): Index of the level.
            feat_s (Tensor): Student's map after the connector
                (N, C, H, W).
            feat_t (Tensor): Teacher's map (N, C, H, W).
            masks (tuple[Tensor, Tensor]): Masks of objects and background,
                both (N, H, W).
            active (frozenset[str]): Names of the terms to compute.

        Returns:
            dict[str, Tensor]: One scalar per term.
        """
        # The context block assumes contiguous memory.
        feat_s, feat_t = feat_s.contiguous(), feat_t.detach().contiguous()
        terms = {}
        attention_t = attention_maps(feat_t, self.tau)
        focal = [term for term in ('fg', 'bg') if term in active]
        if focal:
            distances = focal_distances(feat_s, feat_t, *attention_t, [
                mask
                for term, mask in zip(('fg', 'bg'), masks) if term in active
            ])
            terms.update(zip(focal, distances))
        if 'att' in active:
            terms['att'] = attention_loss(
                attention_maps(feat_s, self.tau), attention_t)
        if 'global_' in active:
            terms['global_'] = squared_distance(self.contexts_s[level](feat_s),
                                                self.contexts_t[level](feat_t))
        return terms
