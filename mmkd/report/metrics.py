"""How metrics are named and scaled in a report."""
import re
from typing import Dict, Iterable, NamedTuple, Optional

#: The metric that decides, the first one that a run has.
_DECISIVE = ('mIoU', 'coco/bbox_mAP', 'coco/segm_mAP', 'pascal_voc/mAP',
             r'.*KITTI/Overall_3D_AP40_moderate', r'.*NuScenes/NDS',
             r'.*NuScenes/mAP')
_LABELS = {
    'coco/bbox_mAP': 'box mAP',
    'coco/segm_mAP': 'mask mAP',
    'mBIoU': 'boundary IoU',
    'aAcc': 'pixel accuracy',
    'mAcc': 'class accuracy',
}
#: The main metrics of a report; it lists the others below.
_MAIN = (*_DECISIVE, 'mBIoU', 'mAcc', 'aAcc', r'coco/(bbox|segm)_mAP_\w+',
         r'.*KITTI/Overall_(3D|BEV)_AP40_(easy|moderate|hard)',
         r'.*NuScenes/mA[A-Z]E')


class Metric(NamedTuple):
    """A metric in a report.

    Attributes:
        key (str): Its name in mmengine's log.
        label (str): Its name in the report.
        scale (float): Factor to the unit of the report.
        lower (bool): Whether lower values are better.
    """
    key: str
    label: str
    scale: float
    lower: bool


def describe(key: str) -> Metric:
    """The label, the unit and the direction of a metric."""
    name = key.split('/')[-1]
    lower = bool(
        re.search(r'(_err|error|loss|rmse|abs_rel|mA[TSOVA]E)$', name, re.I))
    # COCO's and nuScenes' metrics are shares; here they are points of 100.
    scale = 100.0 if not lower and re.match(r'coco/|pascal_voc/|.*NuScenes/',
                                            key) else 1.0
    label = _LABELS.get(key, name.replace('bbox_', '').replace('_', ' '))
    return Metric(key, label, scale, lower)


def decisive(keys: Iterable[str]) -> Optional[str]:
    """The metric that decides, among those of a run."""
    keys = list(keys)
    for pattern in _DECISIVE:
        for key in keys:
            if re.fullmatch(pattern, key):
                return key
    return keys[0] if keys else None


def is_main(key: str) -> bool:
    """Whether a report shows a metric at its top."""
    return any(re.fullmatch(pattern, key) for pattern in _MAIN)


def common(found: Iterable[Dict[str, float]]) -> list:
    """Names of the metrics that all runs have, in the order of the first."""
    found = list(found)
    return [
        key for key in found[0] if all(key in metrics for metrics in found)
    ] if found else []
