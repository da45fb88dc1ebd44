"""IoU of class boundaries."""
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from torch import Tensor

from mmkd.registry import METRICS
from mmkd.utils.table import format_table


def boundaries(labels: Tensor, classes: Tensor, width: int,
               valid: Tensor) -> Tensor:
    """Pixels of each class within some distance of the border of its region.

    The edge of the image counts as a border, as in the authors' code.

    Args:
        labels (Tensor): Label map, (H, W), integer.
        classes (Tensor): The classes to process, (C,).
        width (int): Distance in pixels, in the chessboard metric.
        valid (Tensor): Pixels to include, (H, W), bool.

    Returns:
        Tensor: (C, H, W), bool; False wherever not valid.
    """
    region = (labels[None] == classes[:, None, None]) & valid
    outside = F.pad(1 - region[:, None].float(), (width, ) * 4, value=1.0)
    near_end = F.max_pool2d(outside, 2 * width + 1, stride=1)[:, 0] > 0
    return region & near_end


@METRICS.register_module()
class BoundaryIoUMetric(BaseMetric):
    """Mean IoU over class boundaries (Boundary IoU).

    Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation
    Evaluation, CVPR 2021, eq. 2. Intersection and union are summed over the
    data set before they are divided, as mmseg's ``IoUMetric`` does. Ignored
    pixels are excluded.

    Args:
        width (int, optional): Width of the boundary band in pixels. Defaults
            to None: ``ratio`` times the image's diagonal.
        ratio (float): Defaults to 0.02, the authors' choice for COCO.
        ignore_index (int): Label of ignored pixels. Defaults to 255.
        collect_device (str): As in mmengine. Defaults to ``'cpu'``.
        prefix (str, optional): As in mmengine. Defaults to None.

    The result has ``mBIoU`` in percent, over the classes that occur.
    """

    def __init__(self,
                 width: Optional[int] = None,
                 ratio: float = 0.02,
                 ignore_index: int = 255,
                 collect_device: str = 'cpu',
                 prefix: Optional[str] = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.width = width
        self.ratio = ratio
        self.ignore_index = ignore_index

    def band_width(self, size: Tuple[int, int]) -> int:
        """Width of the band in pixels for an image of (height, width)."""
        if self.width is not None:
            return self.width
        return max(1, round(self.ratio * float(np.hypot(*size))))

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add predictions (``pred_sem_seg``) and ground truth
        (``gt_sem_seg``)."""
        count = len(self.dataset_meta['classes'])
        for sample in data_samples:
            predicted = sample['pred_sem_seg']['data'].squeeze(0)
            truth = sample['gt_sem_seg']['data'].squeeze(0).to(predicted)
            valid = truth != self.ignore_index
            present = torch.cat(
                [truth[valid].unique(), predicted[valid].unique()]).unique()
            width = self.band_width(tuple(truth.shape))
            band_p = boundaries(predicted, present, width, valid)
            band_t = boundaries(truth, present, width, valid)
            sums = torch.zeros((2, count), dtype=torch.long)
            sums[0, present.cpu()] = (band_p & band_t).sum((1, 2)).cpu()
            sums[1, present.cpu()] = (band_p | band_t).sum((1, 2)).cpu()
            self.results.append(sums)

    def compute_metrics(self, results: List[Tensor]) -> Dict[str, float]:
        """Boundary IoU by class (in the log) and its mean, in percent."""
        intersection, union = torch.stack(results).sum(0).double()
        iou = 100 * intersection / union.clamp(min=1)
        occurs = union > 0
        rows = [[name, f'{value:.2f}' if seen else None]
                for name, value, seen in zip(self.dataset_meta['classes'],
                                             iou.tolist(), occurs.tolist())]
        MMLogger.get_current_instance().info(
            'boundary IoU by class\n' +
            format_table(['class', 'boundary IoU'], rows))
        return dict(mBIoU=float(iou[occurs].mean()))
