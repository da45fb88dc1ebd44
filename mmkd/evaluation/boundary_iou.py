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


def boundaries(labels: Tensor, width: int, valid: Tensor) -> Tensor:
    """Pixels within some distance of the border of their region.

    The edge of the image and pixels that are not valid count as a border, as
    in the authors' code.

    Args:
        labels (Tensor): Label map, (H, W), integer.
        width (int): Distance in pixels, in the chessboard metric.
        valid (Tensor): Pixels to include, (H, W), bool.

    Returns:
        Tensor: (H, W), bool; False wherever not valid.
    """
    # A border is near where the window around a pixel holds a second label.
    label = F.pad(
        labels.float().masked_fill(~valid, -1), (width, ) * 4, value=-1)
    extremes = torch.stack([label, -label])
    side = 2 * width + 1
    for window in ((side, 1), (1, side)):
        extremes = F.max_pool2d(extremes, window, stride=1)
    return valid & (extremes[0] != -extremes[1])


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
            width = self.band_width(tuple(truth.shape))
            band_t = boundaries(truth, width, valid)
            band_p = boundaries(predicted, width, valid)
            shared = band_t & band_p & (truth == predicted)
            both = truth[shared].bincount(minlength=count)
            union = truth[band_t].bincount(minlength=count)
            union += predicted[band_p].bincount(minlength=count) - both
            self.results.append(torch.stack([both, union]).cpu())

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
