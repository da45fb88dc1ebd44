"""KITTI's average precision as an mmengine metric."""
import os.path as osp
from typing import Any, Dict, List, Optional

from mmdet3d.evaluation import KittiMetric as MMDet3DKittiMetric
from mmengine.logging import MMLogger, print_log

from mmkd.errors import ConfigError
from mmkd.evaluation.kitti import check_classes, kitti_eval
from mmkd.registry import METRICS


@METRICS.register_module()
class KittiMetric(MMDet3DKittiMetric):
    """mmdet3d's ``KittiMetric`` for machines without CUDA.

    It has the same arguments and returns the same keys and numbers, plus
    ``AOS``, without a GPU: use ``type='mmkd.KittiMetric'`` instead of
    ``type='KittiMetric'``. Invalid arguments raise an error when the metric
    is built. A network without detections, in the first frame or in all
    frames, scores 0; mmdet3d returns no result.

    Args:
        ann_file (str): Info file of the split, made by mmdet3d's
            ``create_data.py kitti``.
        **kwargs: Arguments of mmdet3d's class: ``metric``,
            ``pcd_limit_range``, ``prefix``, ``pklfile_prefix``,
            ``default_cam_key``, ``format_only``, ``submission_prefix``,
            ``collect_device``, ``backend_args``.

    Raises:
        ConfigError: If the info file is missing, the metric is unknown, KITTI
            does not evaluate the classes of the data set, or ``format_only``
            is set without ``submission_prefix``.
    """

    def __init__(self, ann_file: str, **kwargs: Any) -> None:
        if kwargs.get('backend_args') is None and not osp.isfile(ann_file):
            raise ConfigError(
                f'KittiMetric: there is no info file {ann_file}; mmdet3d\'s '
                '`create_data.py kitti` makes it, mmkd\'s '
                '`mmkd scenes` does for its own scenes')
        metric = kwargs.get('metric', 'bbox')
        for name in metric if isinstance(metric, list) else [metric]:
            if name not in ('bbox', 'img_bbox', 'mAP'):
                raise ConfigError('KittiMetric: metric is bbox (image, '
                                  "bird's-eye view and 3D) or img_bbox, but "
                                  f'got {name!r}')
        if kwargs.get('format_only') and not kwargs.get('submission_prefix'):
            raise ConfigError('KittiMetric: format_only writes files; '
                              'set submission_prefix to say where')
        super().__init__(ann_file, **kwargs)

    @property
    def dataset_meta(self) -> Optional[dict]:
        """Meta information of the data set; its classes are checked."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        if not self.format_only:
            check_classes(dataset_meta.get('classes') or ())
        self._dataset_meta = dataset_meta

    def kitti_evaluate(self,
                       results_dict: dict,
                       gt_annos: List[dict],
                       metric: Optional[str] = None,
                       classes: Optional[List[str]] = None,
                       logger: Optional[MMLogger] = None) -> Dict[str, float]:
        """AP of each kind of prediction.

        Args:
            results_dict (dict): Annotations of the predictions, one per
                frame, by kind (``pred_instances_3d``, ``pred_instances``).
            gt_annos (list[dict]): Ground-truth annotations of the frames.
            metric (str, optional): ``img_bbox`` evaluates only in the image.
                Defaults to None.
            classes (list[str], optional): Classes to evaluate. Defaults to
                None.
            logger (MMLogger, optional): Logger for the tables. Defaults to
                None.

        Returns:
            dict[str, float]: AP in percent, to four digits, by
            ``<kind>/<name>``; see :func:`.kitti.kitti_eval`.
        """
        scores = {}
        for kind, annos in results_dict.items():
            flat = kind == 'pred_instances' or metric == 'img_bbox'
            text, values = kitti_eval(gt_annos, annos, classes,
                                      ('bbox', ) if flat else
                                      ('bbox', 'bev', '3d'))
            print_log(f'Results of {kind}:{text}', logger=logger)
            for name, value in values.items():
                scores[f'{kind}/{name}'] = round(value, 4)
        return scores
