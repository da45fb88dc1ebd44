"""KITTI's average precision, in total and by number of points."""
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from mmengine.logging import MMLogger, print_log

from mmkd.errors import ConfigError
from mmkd.registry import METRICS
from mmkd.utils.table import format_table
from .by_points import EDGES, groups_of
from .kitti import DIFFICULTIES, EVAL_TYPES, kitti_eval_groups
from .kitti_metric import KittiMetric


@METRICS.register_module()
class KittiByPoints(KittiMetric):
    """``KittiMetric`` with additional results by number of points.

    Adds ``KITTI/points_<group>_<3D or BEV>_AP40`` for each group of objects
    by their number of points, in percent, averaged over the classes with
    objects in the group (:func:`~mmkd.evaluation.kitti.kitti_eval_groups`);
    NaN for an empty group. As always in KITTI, AP can reach 100 only if a
    class has at least 41 objects in a group; the table in the log shows the
    numbers of objects.

    Args:
        ann_file (str): See :class:`KittiMetric`; its instances need
            ``num_lidar_pts``.
        edges (Sequence[int]): Minimum number of points of each group.
            Defaults to (1, 6, 21, 101).
        difficulty (str): ``'easy'``, ``'moderate'`` or ``'hard'``; more
            difficult objects are ignored. Defaults to ``'hard'``, which
            includes the most.
        kwargs: Arguments of :class:`KittiMetric`.

    Raises:
        ConfigError: If an argument is invalid, or a number of points is
            missing.
    """

    def __init__(self,
                 ann_file: str,
                 edges: Sequence[int] = EDGES,
                 difficulty: str = 'hard',
                 **kwargs: Any) -> None:
        super().__init__(ann_file, **kwargs)
        if list(edges) != sorted(set(edges)) or not edges:
            raise ConfigError('KittiByPoints: edges must increase, but are '
                              f'{list(edges)}')
        if difficulty not in DIFFICULTIES:
            raise ConfigError('KittiByPoints: difficulty is one of '
                              f'{", ".join(DIFFICULTIES)}, not {difficulty!r}')
        self.edges, self.difficulty = tuple(edges), difficulty

    def convert_annos_to_kitti_annos(self, data_infos: dict) -> List[dict]:
        """Annotations of mmdet3d's class, with ``num_points`` (N, )."""
        frames = super().convert_annos_to_kitti_annos(data_infos)
        for frame in [] if self.format_only else frames:
            counts = [x.get('num_lidar_pts') for x in frame['instances']]
            if None in counts:
                raise ConfigError(
                    f'KittiByPoints: frame {frame.get("sample_idx")} of '
                    f'{self.ann_file} has objects without `num_lidar_pts`; '
                    'make it with mmdet3d\'s `create_data.py kitti`')
            frame['kitti_annos']['num_points'] = np.array(counts, float)
        return frames

    def kitti_evaluate(self,
                       results_dict: dict,
                       gt_annos: List[dict],
                       metric: Optional[str] = None,
                       classes: Optional[List[str]] = None,
                       logger: Optional[MMLogger] = None) -> Dict[str, float]:
        """AP of each kind of prediction; see :class:`KittiMetric`."""
        scores = super().kitti_evaluate(results_dict, gt_annos, metric,
                                        classes, logger)
        values = [anno['num_points'] for anno in gt_annos]
        for kind, annos in results_dict.items():
            if kind == 'pred_instances' or metric == 'img_bbox':
                continue
            groups = kitti_eval_groups(gt_annos, annos, classes, values,
                                       groups_of(self.edges), self.difficulty)
            print_log(
                f'Results of {kind} by number of points, AP40, strict, '
                f'{self.difficulty}:\n' + format_table(
                    ['points', 'objects', *map(EVAL_TYPES.get, _KINDS)], [[
                        name,
                        str(found['objects']), *(f'{found[x]:.4f}'
                                                 for x in _KINDS)
                    ] for name, found in groups.items()]),
                logger=logger)
            for name, found in groups.items():
                for x in _KINDS:
                    scores[f'{kind}/KITTI/points_{name}_{EVAL_TYPES[x]}'
                           '_AP40'] = round(found[x], 4)
        return scores


_KINDS = ('bev', '3d')
