"""Segmentors of mmseg."""
from typing import Tuple

import torch
from mmengine.structures import PixelData
from torch import nn

from mmkd.families.base import Batch, Family, image_meta


class MMSegFamily(Family):
    """Segmentors of mmseg."""
    name = 'mmseg'
    predicts_on_images = True

    def example_batch(self, network: nn.Module, size: Tuple[int,
                                                            int]) -> Batch:
        """An image (1, C, H, W) whose pixels and edges are of class 0."""
        from mmseg.structures import SegDataSample
        batch = super().example_batch(network, size)
        labels = torch.zeros((1, *size), dtype=torch.long)
        sample = SegDataSample(
            metainfo=image_meta(size),
            gt_sem_seg=PixelData(data=labels),
            gt_edge_map=PixelData(data=labels.clone()))
        batch['data_samples'] = [sample.to(batch['inputs'].device)]
        return batch
