"""KITTI's average precision, and the same by number of points."""
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
    """``KittiMetric``, and how well sparse objects are found.

    Adds ``KITTI/points_<group>_<3D or BEV>_AP40`` for each group of objects
    by their number of points, in percent, the mean over the classes with
    objects in the group (:func:`~mmkd.evaluation.kitti.kitti_eval_groups`);
    NaN for a group without any. As everywhere in KITTI, AP can reach 100 only
    where a class has 41 objects or more in a group; the table in the log
    says how many there are.

    Args:
        ann_file (str): As of :class:`KittiMetric`; its instances have
            ``num_lidar_pts``.
        edges (Sequence[int]): Least number of points of each group. Defaults
            to (1, 6, 21, 101).
        difficulty (str): ``'easy'``, ``'moderate'`` or ``'hard'``: objects
            that are more difficult count on neither side. Defaults to
            ``'hard'``, the most of them.
        kwargs: Arguments of :class:`KittiMetric`.

    Raises:
        ConfigError: If an argument makes no sense, or a number of points is
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
