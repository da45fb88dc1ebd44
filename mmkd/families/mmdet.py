"""Detectors of mmdet."""
from typing import List, Optional, Tuple, Union

import torch
from mmengine.structures import InstanceData, PixelData
from torch import nn

from mmkd.families.base import (Batch, Family, ImagePrediction, image_meta,
                                predict_sample)


class MMDetFamily(Family):
    """Detectors of mmdet."""
    name = 'mmdet'

    def _stages(self, network: nn.Module) -> List[Union[str, dict]]:
        """Of TridentNet, the images of the branch that is left in testing:
        it trains all of them as one batch."""
        found = super()._stages(network)
        backbone = getattr(network, 'backbone', None)
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

    def predict_image(self, network: nn.Module, batch: Batch,
                      size: Tuple[int, int]) -> Optional[ImagePrediction]:
        """The class of each pixel, if the network gives it, or objects."""
        found = predict_sample(network, batch, size)
        if 'pred_sem_seg' in found:
            return ImagePrediction(labels=found.pred_sem_seg.data[0])
        return ImagePrediction(instances=found.get('pred_instances'))
