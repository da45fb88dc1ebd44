"""Segmentors of mmseg."""
from typing import Any, Dict, Optional, Tuple

import torch
from mmengine.structures import PixelData
from torch import Tensor, nn

from mmkd.families.base import (Batch, Family, ImagePrediction, image_meta,
                                predict_sample)


class MMSegFamily(Family):
    """Segmentors of mmseg."""
    name = 'mmseg'
    visualizer = 'SegLocalVisualizer'
    packing = 'mmseg.PackSegInputs'
    auto_ratio = 3.

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

    def traits(self, network: nn.Module) -> Dict[str, Any]:
        """See the base class."""
        heads = getattr(network, 'decode_head', None)
        # Of a cascade, the last head decides.
        head = heads[-1] if isinstance(heads, nn.ModuleList) else heads
        return {
            key: getattr(head, key)
            for key in ('ignore_index', 'num_classes') if hasattr(head, key)
        }

    def keep_sizes(self, network: nn.Module) -> None:
        """Without the crop of its own training, ``size``."""
        preprocessor = self.preprocessor(network)
        if getattr(preprocessor, 'size', None) is not None:
            preprocessor.size, preprocessor.size_divisor = None, 1

    def predict_image(self, network: nn.Module, batch: Batch,
                      size: Tuple[int, int]) -> Optional[ImagePrediction]:
        """The class of each pixel."""
        found = predict_sample(network, batch, size)
        return ImagePrediction(labels=found.pred_sem_seg.data[0])

    def raw_outputs(self, network: Any, images: Tensor,
                    samples: Any) -> Dict[str, Tensor]:
        """``logits`` (N, classes, H, W), at the size of the images."""
        metas = [sample.metainfo for sample in samples]
        encode_decode: Any = network.encode_decode
        return dict(logits=encode_decode(images, metas))
