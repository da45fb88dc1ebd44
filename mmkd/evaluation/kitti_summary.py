"""KITTI's metrics in a dozen lines."""
import re
from typing import Mapping, Optional

from mmkd.utils.table import format_table

_KEY = re.compile(r'(?P<kind>.*/)?KITTI/(?P<name>\w+?)_(?P<boxes>3D|BEV|2D)_'
                  r'AP40_(?P<difficulty>easy|moderate|hard)'
                  r'(_(?P<level>strict|loose))?$')


def kitti_summary(metrics: Mapping[str, float]) -> Optional[str]:
    """A table of the metrics that papers report: AP40 of each class.

    Args:
        metrics (Mapping[str, float]): What ``KittiMetric`` returns, over 100
            numbers: also AP11, boxes in the image, and AOS.

    Returns:
        str | None: Easy, moderate and hard in 3D and in bird's-eye view, or
        in the image if the predictions are flat; None if there are no such
        metrics.
    """
    rows, kinds = {}, {}
    for key, value in metrics.items():
        match = _KEY.match(key)
        if match:
            row = (match['kind'] or '', match['name'], match['level']
                   or 'strict')
            rows.setdefault(row, {})[match['boxes'],
                                     match['difficulty']] = value
            kinds.setdefault(match['boxes'])
    boxes = [x for x in ('3D', 'BEV') if x in kinds] or ['2D']
    if not rows:
        return None
    header = ['class', 'level'] + [
        f'{x} {difficulty}' for x in boxes
        for difficulty in ('easy', 'mod.', 'hard')
    ]
    table = format_table(header, [[name, level] + [
        f'{found[x, difficulty]:.2f}' if (x, difficulty) in found else None
        for x in boxes for difficulty in ('easy', 'moderate', 'hard')
    ] for (kind, name, level), found in rows.items()
                                  if found.keys() & {(x, 'easy')
                                                     for x in boxes}])
    return f'KITTI, AP40 in percent; the log file has all metrics\n{table}'
