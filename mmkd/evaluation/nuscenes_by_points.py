"""nuScenes' metrics, and average precision by number of points."""
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from mmdet3d.evaluation.metrics import NuScenesMetric

from mmkd.registry import METRICS
from .by_points import EDGES, Detections, precision_by_group


@METRICS.register_module()
class NuScenesByPoints(NuScenesMetric):
    """mmdet3d's ``NuScenesMetric`` with additional results by number of
    points.

    Adds ``AP_points_<group>`` for each group of objects by their number of
    points (:func:`~mmkd.evaluation.by_points.precision_by_group`), 0 to 1.
    Objects without points belong to no group.

    Args:
        edges (Sequence[int]): Minimum number of points of each group.
            Defaults to (1, 6, 21, 101).
        max_range (float, optional): Objects and detections beyond this
            distance along x or y are excluded, metres. Defaults to None.
        kwargs: Arguments of ``NuScenesMetric``.
    """

    def __init__(self,
                 *args: Any,
                 edges: Sequence[int] = EDGES,
                 max_range: Optional[float] = None,
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.edges = tuple(edges)
        self.max_range = max_range

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Compute all metrics."""
        # mmdet3d's metric modifies the boxes when it writes them.
        found = [self._found(result) for result in results]
        metrics = super().compute_metrics(results)
        groups = precision_by_group([self._frame(*x) for x in found],
                                    self.edges)
        metrics.update({
            f'AP_points_{name}': group['ap']
            for name, group in groups.items()
        })
        return metrics

    @staticmethod
    def _found(result: dict) -> tuple:
        boxes = result['pred_instances_3d']
        return (result['sample_idx'],
                boxes['bboxes_3d'].gravity_center[:, :2].numpy().copy(),
                boxes['scores_3d'].numpy(), boxes['labels_3d'].numpy())

    def _frame(self, index: int, centres: np.ndarray, scores: np.ndarray,
               labels: np.ndarray) -> Detections:
        categories = self.dataset_meta['classes']
        if not hasattr(self, '_names'):
            from mmkd.methods.xray.data.infos import load_infos
            infos = load_infos(self.ann_file)
            self._names = {
                number: name
                for name, number in infos['metainfo']['categories'].items()
            }
            self._infos = {x['sample_idx']: x for x in infos['data_list']}
        true = [
            x for x in self._infos[index]['instances']
            if self._names.get(x['bbox_label_3d']) in categories
        ]
        places = np.array([x['bbox_3d'][:2] for x in true]).reshape(-1, 2)
        near, near_true = (
            np.abs(x).max(1, initial=0) <= (self.max_range or np.inf)
            for x in (centres, places))
        return Detections(
            centres[near], scores[near], labels[near], places[near_true],
            np.array([
                categories.index(self._names[x['bbox_label_3d']]) for x in true
            ], int)[near_true],
            np.array([x['num_lidar_pts'] for x in true], float)[near_true])
