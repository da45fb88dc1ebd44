"""Detectors of mmdet."""
import inspect
from functools import partial
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

from mmkd.errors import ConfigError
from mmkd.families.base import (Batch, Family, ImagePrediction, image_meta,
                                predict_sample)
from mmkd.families.dense_heads import (MAX_CONVS, DenseHead, dense_head_kind,
                                       wrap_dense_head)
from mmkd.families.roi_heads import find_roi_head
from mmkd.families.taps import KnownTap, Place

#: The last class convolutions of dense heads: one for all levels, or a list.
_CLASS_CONVOLUTIONS = ('retina_cls', 'gfl_cls', 'atss_cls', 'conv_cls',
                       'rtm_cls', 'multi_level_conv_cls')


class MMDetFamily(Family):
    """Detectors of mmdet."""
    name = 'mmdet'
    visualizer = 'DetLocalVisualizer'
    packing = 'mmdet.PackDetInputs'
    auto_ratio = 0.3

    def __init__(self) -> None:
        super().__init__()
        self.places = {
            **self.places, 'dense_logits':
            Place(
                'class scores of a dense head of sigmoids, before the '
                'sigmoid, level by level', _dense_logits),
            'dense_classifier_input':
            Place(
                'input of the classifier of a dense head of sigmoids, level '
                'by level', _dense_classifier_input),
            'dense_boxes':
            Place(
                'box codes of a RetinaHead, ATSSHead, GFLHead or FCOSHead, '
                'level by level', _dense_boxes),
            'roi_embeddings':
            Place('what the classifier of a RoI head reads',
                  partial(_roi_classifier, suffix='@input')),
            'roi_logits':
            Place('class scores of a RoI head',
                  partial(_roi_classifier, suffix='')),
            'roi_boxes':
            Place(
                'box codes of a RoI head',
                lambda x: ['roi_head.bbox_head.fc_reg']
                if find_roi_head(x) else []),
            **{
                f'dense_features_{count}':
                Place(
                    f'features of a RetinaHead, ATSSHead, GFLHead or FCOSHead '
                    f'after {count} convolution(s) of each branch',
                    partial(_dense_features, count=count))
                for count in range(1, MAX_CONVS + 1)
            }
        }

    def _stages(self, network: nn.Module) -> List[Union[str, dict]]:
        """Of TridentNet, the images of the branch that is left in testing:
        it trains all of them as one batch."""
        found = super()._stages(network)
        backbone: Any = getattr(network, 'backbone', None)
        branch = getattr(backbone, 'test_branch_idx', -1)
        if branch < 0:
            return found
        count = backbone.num_branch
        return [dict(module=tap, part=(branch, count)) for tap in found]

    def example_batch(self, network: nn.Module, size: Tuple[int,
                                                            int]) -> Batch:
        """An image (1, C, H, W) with one object, its mask, and a semantic
        map."""
        from mmdet.structures import DetDataSample
        from mmdet.structures.mask import BitmapMasks
        batch = super().example_batch(network, size)
        height, width = size
        box = torch.tensor(
            [[0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height]])
        masks = BitmapMasks(
            torch.ones((1, height, width), dtype=torch.uint8).numpy(), height,
            width)
        sample = DetDataSample(
            metainfo=image_meta(size),
            gt_instances=InstanceData(
                bboxes=box,
                labels=torch.zeros(1, dtype=torch.long),
                masks=masks),
            ignored_instances=InstanceData(
                bboxes=box[:0], labels=torch.zeros(0, dtype=torch.long)),
            gt_sem_seg=PixelData(
                sem_seg=torch.zeros((1, height, width), dtype=torch.long)))
        batch['data_samples'] = [sample.to(batch['inputs'].device)]
        return batch

    def traits(self, network: nn.Module) -> Dict[str, Any]:
        """See the base class; ``roi_*`` are properties of a known RoI head
        (:class:`~mmkd.families.roi_heads.RoIHead`)."""
        traits: Dict[str, Any] = dict(
            two_stage=getattr(network, 'roi_head', None) is not None)
        head: Any = getattr(network, 'bbox_head', None)
        kind = dense_head_kind(head)
        if kind is not None:
            traits.update(dense_head=kind.name, head_convs=len(head.cls_convs))
        roi_head = find_roi_head(network, single=False)
        if roi_head is not None:
            traits.update(
                roi_classes=roi_head.num_classes,
                roi_channels=roi_head.channels,
                roi_codes=roi_head.num_codes,
                roi_single=roi_head.single)
        return traits

    def dense_head(self,
                   network: nn.Module,
                   name: str = 'the network') -> DenseHead:
        """See the base class."""
        return wrap_dense_head(getattr(network, 'bbox_head', None), name)

    def predict_image(self, network: nn.Module, batch: Batch,
                      size: Tuple[int, int]) -> Optional[ImagePrediction]:
        """The class of each pixel, if the network gives it, or objects."""
        found = predict_sample(network, batch, size)
        if 'pred_sem_seg' in found:
            return ImagePrediction(labels=found.pred_sem_seg.data[0])
        return ImagePrediction(instances=found.get('pred_instances'))

    def raw_outputs(self, network: nn.Module, images: Tensor,
                    samples: Any) -> Dict[str, Tensor]:
        """What the head returns, named as in its ``loss_by_feat``; several
        levels are numbered, as in ``cls_scores_0``."""
        if hasattr(network, 'roi_head'):
            raise ConfigError(
                f'{type(network).__name__} suppresses proposals between its '
                'stages, and cannot be exported to ONNX without them; '
                'mmdeploy exports it (docs/deployment.md)')
        head = next(
            getattr(network, name)
            for name in ('bbox_head', 'panoptic_head', 'mask_head')
            if getattr(network, name, None) is not None)
        outputs = network(images, samples, mode='tensor')
        names = [
            name for name in inspect.signature(head.loss_by_feat).parameters
            if not name.startswith('batch_')
        ]
        while len(outputs) == 1 < len(names) and isinstance(
                outputs[0], (list, tuple)):
            outputs = outputs[0]
        if len(outputs) > len(names):
            names = [f'output_{i}' for i in range(len(outputs))]
        found: Dict[str, Tensor] = {}
        for name, value in zip(names, outputs):
            _add(found, name, value)
        return found


def _dense_logits(network: nn.Module) -> List[dict]:
    head: Any = getattr(network, 'bbox_head', None)
    if not getattr(head, 'use_sigmoid_cls', False):
        return []
    found: List[dict] = []
    for name in _CLASS_CONVOLUTIONS:
        part = getattr(head, name, None)
        if isinstance(part, nn.ModuleList):
            found += [
                dict(module=f'bbox_head.{name}.{i}') for i in range(len(part))
            ]
        elif part is not None:
            found.append(dict(module=f'bbox_head.{name}', calls='all'))
    return found


def _dense_classifier_input(network: nn.Module) -> List[dict]:
    return [dict(tap, where='input') for tap in _dense_logits(network)]


def _dense_boxes(network: nn.Module) -> List[KnownTap]:
    head = getattr(network, 'bbox_head', None)
    kind = dense_head_kind(head)
    return [] if kind is None else kind.box_taps(head, 'bbox_head')


def _dense_features(network: nn.Module, count: int) -> List[KnownTap]:
    head = getattr(network, 'bbox_head', None)
    kind = dense_head_kind(head)
    return [] if kind is None else kind.feature_taps(head, 'bbox_head', count)


def _roi_classifier(network: nn.Module, suffix: str) -> List[str]:
    if find_roi_head(network) is None:
        return []
    return [f'roi_head.bbox_head.fc_cls{suffix}']


def _add(found: Dict[str, Tensor], name: str, value: Any) -> None:
    """Add a tensor, or those of a list by number."""
    if isinstance(value, Tensor):
        found[name] = value
    for i, item in enumerate(
            value if isinstance(value, (list, tuple)) else ()):
        _add(found, f'{name}_{i}', item)
