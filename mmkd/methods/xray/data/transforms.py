"""Joint augmentation of the ordinary and the complete cloud of a frame.

Transforms of mmdet3d only modify ``results['points']``. Both clouds are
therefore processed as one, with a last column that marks the owner of each
point, and random numbers are drawn once; :class:`SplitCompletePoints`
separates them again.
"""
import os
import os.path as osp
import zlib
from functools import lru_cache
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.datasets.transforms import Pack3DDetInputs
from mmdet3d.datasets.transforms.dbsampler import DataBaseSampler
from mmdet3d.structures.points import BasePoints
from mmengine.logging import print_log

from mmkd.errors import ConfigError
from mmkd.methods.xray.data.boxes import points_in_box
from mmkd.methods.xray.data.completion import CompleteObjects, PlacedPoints
from mmkd.methods.xray.data.placement import PUBLISHED_PLACEMENT, Placement
from mmkd.registry import TRANSFORMS

#: Owner of a point.
BOTH, STUDENT, TEACHER = 0, 1, 2


@lru_cache(maxsize=8)
def _load(path: str, modified: int) -> CompleteObjects:
    return CompleteObjects.load(path)


def load_objects(path: str) -> CompleteObjects:
    """Objects of a scene; the last few scenes are kept in memory.

    Raises:
        ConfigError: If the file is missing or broken.
    """
    try:
        modified = os.stat(path).st_mtime_ns
    except OSError:
        raise ConfigError(
            f'there is no {path}, which the index file names; make it with '
            'mmkd complete') from None
    return _load(path, modified)


def _with_column(points: BasePoints, tag: int) -> BasePoints:
    tensor = torch.cat(
        [points.tensor,
         points.tensor.new_full((len(points), 1), tag)], 1)
    return type(points)(
        tensor,
        points_dim=tensor.size(1),
        attribute_dims=points.attribute_dims)


class _Columns:
    """Columns of added points, in the layout of the frame's loader."""

    def __init__(self, use_dim: Union[int, Sequence[int], None],
                 time_dim: Optional[int], time_value: Union[float, str],
                 norm_intensity: bool, norm_elongation: bool) -> None:
        self.use_dim = list(range(use_dim)) if isinstance(use_dim,
                                                          int) else use_dim
        if isinstance(time_value, str) and (time_value != 'delta'
                                            or time_dim is None):
            raise ConfigError("time_value is a number or 'delta', which needs "
                              f'time_dim; but they are {time_value!r} and '
                              f'{time_dim!r}')
        self.time_dim = time_dim
        self.time_value = time_value
        self.squashed = [
            column
            for column, yes in ((3, norm_intensity), (4, norm_elongation))
            if yes
        ]

    def __call__(self, placed: PlacedPoints, columns: int) -> np.ndarray:
        stored = placed.points
        use_dim = self.use_dim or list(range(columns))
        if len(use_dim) != columns or max(use_dim) >= stored.shape[1]:
            raise ConfigError(
                f'the points of the frame have {columns} columns; of the '
                f'{stored.shape[1]} of completed ones, `use_dim` takes '
                f'{use_dim}')
        points = stored[:, use_dim]
        points[:, self.squashed] = np.tanh(points[:, self.squashed])
        if self.time_dim is not None:
            points[:, self.time_dim] = (
                placed.age if self.time_value == 'delta' else self.time_value)
        return points


@TRANSFORMS.register_module()
class LoadCompleteObjects(BaseTransform):
    """Add points of a frame's objects from other frames, for the teacher.

    Adds a last column to the points that marks their owner: 0 for both
    networks, 1 for the student only, 2 for the teacher only. Draws no random
    numbers.

    Required keys: ``points``, ``lidar_points``, ``instances`` and
    ``complete_objects`` of an index file of ``mmkd complete``.
    Modified key: ``points``.

    Args:
        preset (str, optional): ``'published'`` uses ``mode``,
            ``keep_margin`` and ``min_visible_points`` of the published tool.
            Defaults to None.
        mode (str): ``'add'`` keeps the frame's own points; ``'replace'``
            removes the teacher's points in the box and inserts all stored
            ones, including the frame's own view. Defaults to ``'add'``.
        keep_margin (float, optional): Points further outside their box are
            dropped, metres; None keeps all. Defaults to 0.1.
        min_visible_points (int): Objects with fewer points in the frame are
            not completed. Defaults to 1: hidden objects are not inserted.
        window (int, optional): Use only views from this many frames before
            and after. Defaults to None: the whole scene.
        class_window (dict[str, int], optional): The same by class, for
            example for pedestrians, whose limbs move. Defaults to None.
        size_mode (str): ``'centre'`` or ``'scale'``, see
            :meth:`CompleteObjects.place`. Defaults to ``'centre'``.
        drop_sweeps (bool): Whether to remove the teacher's points of earlier
            sweeps in the boxes of completed objects; needs ``time_dim``.
            Defaults to False.
        time_dim (int, optional): Column with the time lag of a point.
            Defaults to None: there is none.
        time_value (float | str): Time lag of added points, seconds, or
            ``'delta'``: the true one, which is negative for points of later
            frames. Defaults to 0.
        use_dim (int | list[int], optional): See ``LoadPointsFromFile``.
            Defaults to None: all columns of the points.
        norm_intensity (bool): See ``LoadPointsFromFile``. Defaults to False.
        norm_elongation (bool): See ``LoadPointsFromFile``. Defaults to
            False.
        strict (bool): Whether a frame without completed objects is an error;
            otherwise, it is not changed, with one warning. Defaults to False.

    Raises:
        ConfigError: If an option is invalid, or a file is missing.
    """

    def __init__(self,
                 preset: Optional[str] = None,
                 mode: str = 'add',
                 keep_margin: Optional[float] = 0.1,
                 min_visible_points: int = 1,
                 window: Optional[int] = None,
                 class_window: Optional[Dict[str, int]] = None,
                 size_mode: str = 'centre',
                 drop_sweeps: bool = False,
                 time_dim: Optional[int] = None,
                 time_value: Union[float, str] = 0.,
                 use_dim: Union[int, Sequence[int], None] = None,
                 norm_intensity: bool = False,
                 norm_elongation: bool = False,
                 strict: bool = False) -> None:
        if preset not in (None, 'published'):
            raise ConfigError("preset is None or 'published', not "
                              f'{preset!r}')
        self.placement = Placement(
            **{
                **dict(
                    mode=mode,
                    keep_margin=keep_margin,
                    min_visible_points=min_visible_points,
                    window=window,
                    class_window=dict(class_window or {}),
                    size_mode=size_mode),
                **(PUBLISHED_PLACEMENT if preset else {})
            })
        if drop_sweeps and time_dim is None:
            raise ConfigError('LoadCompleteObjects: drop_sweeps needs '
                              'time_dim, the column of the age of a point')
        self.drop_sweeps = drop_sweeps
        self.time_dim = time_dim
        self.columns = _Columns(use_dim, time_dim, time_value, norm_intensity,
                                norm_elongation)
        self.strict = strict
        self._warned = False

    def transform(self, results: dict) -> dict:
        """Add points and the column."""
        points = results['points']
        store = results.get('complete_objects')
        if store is None:
            self._missing(results)
            results['points'] = _with_column(points, BOTH)
            return results
        objects = load_objects(
            osp.join(
                osp.dirname(results['lidar_points']['lidar_path']),
                store['path']))
        own = _with_column(points, BOTH)
        values = own.tensor.numpy()
        # For points that are new in this frame.
        now = values[:, self.time_dim] == 0 if self.time_dim is not None \
            else np.ones(len(values), bool)
        hidden = np.zeros(len(values), bool)
        added: List[np.ndarray] = []
        replace = self.placement.mode == 'replace'
        for box, placed in self.placement.placed(objects, results['instances'],
                                                 store['frame']):
            added.append(self.columns(placed, values.shape[1] - 1))
            if replace or self.drop_sweeps:
                inside = np.zeros(len(values), bool)
                inside[points_in_box(values, box)] = True
                hidden |= inside & (now if replace else False)
                hidden |= inside & (~now if self.drop_sweeps else False)
        values[hidden, -1] = STUDENT
        if added:
            extra = np.concatenate(added)
            own = own.cat([
                own,
                _with_column(
                    type(points)(extra, points_dim=extra.shape[1]), TEACHER)
            ])
        results['points'] = own
        return results

    def _missing(self, results: dict) -> None:
        text = (f'frame {results.get("sample_idx")} has no completed '
                'objects; make the index file with mmkd complete')
        if self.strict:
            raise ConfigError(text)
        if not self._warned:
            print_log(
                f'{text}. Its teacher gets the ordinary points.',
                'current',
                level=30)
            self._warned = True


@TRANSFORMS.register_module()
class SplitCompletePoints(BaseTransform):
    """Separate the clouds of student and teacher.

    It belongs after all random geometric transforms. A following
    ``PointShuffle`` shuffles the student's points exactly as in the ordinary
    pipeline. The teacher's points are shuffled here, without using the global
    random generators.

    Required key: ``points`` with the column of
    :class:`LoadCompleteObjects`, which is removed. Added key:
    ``points_teacher``, for ``keep='both'``.

    Args:
        keep (str): ``'both'``; ``'teacher'`` to train or evaluate a teacher,
            or ``'student'``, whose points become ``points``. Defaults to
            ``'both'``.
    """

    def __init__(self, keep: str = 'both') -> None:
        if keep not in ('both', 'teacher', 'student'):
            raise ConfigError('SplitCompletePoints: keep is both, teacher or '
                              f'student, not {keep!r}')
        self.keep = keep

    def transform(self, results: dict) -> dict:
        """Separate the clouds."""
        points = results['points']
        tag = points.tensor[:, -1]
        student = self._of(points, tag != TEACHER)
        teacher = self._of(points, tag != STUDENT)
        results['points'] = teacher if self.keep == 'teacher' else student
        if self.keep == 'both':
            seed = zlib.crc32(f'{results.get("sample_idx")} '
                              f'{results.get("pcd_rotation_angle")}'.encode())
            order = torch.randperm(
                len(teacher), generator=torch.Generator().manual_seed(seed))
            results['points_teacher'] = teacher[order]
        return results

    @staticmethod
    def _of(points: BasePoints, mask: torch.Tensor) -> BasePoints:
        tensor = points.tensor[mask, :-1]
        return type(points)(
            tensor,
            points_dim=tensor.size(1),
            attribute_dims=points.attribute_dims)


@TRANSFORMS.register_module()
class PackCompleteInputs(Pack3DDetInputs):
    """``Pack3DDetInputs`` with the additional key ``points_teacher``."""
    INPUTS_KEYS = [*Pack3DDetInputs.INPUTS_KEYS, 'points_teacher']

    def pack_single_results(self, results: dict) -> dict:
        """Pack a frame; see mmdet3d's class."""
        points = results.get('points_teacher')
        if isinstance(points, BasePoints):
            results['points_teacher'] = points.tensor
        return super().pack_single_results(results)


@TRANSFORMS.register_module()
class CompleteDataBaseSampler(DataBaseSampler):
    """Sampler for ``ObjectSample`` that pastes the same objects for both.

    It draws the same random numbers as mmdet3d's ``DataBaseSampler``, whose
    ``sample_all`` fails on numpy 1.24 to 1.26 (``np.long``).

    Args:
        args: Arguments of ``DataBaseSampler``.
        paste (str): ``'complete'``: the teacher also gets the points of other
            frames, if the database has them (``mmkd complete
            --database``); ``'same'``: both get the object of the database;
            ``'ordinary'``: the points have no owner column. Defaults to
            ``'complete'``.
        columns (dict, optional): ``use_dim``, ``time_dim``, ``time_value``,
            ``norm_intensity`` and ``norm_elongation`` of
            :class:`LoadCompleteObjects`. Defaults to None.
        keep_margin (float, optional): See :class:`LoadCompleteObjects`.
            Defaults to 0.1.
        kwargs: Arguments of ``DataBaseSampler``.
    """

    def __init__(self,
                 *args: Any,
                 paste: str = 'complete',
                 columns: Optional[dict] = None,
                 keep_margin: Optional[float] = 0.1,
                 **kwargs: Any) -> None:
        if paste not in ('complete', 'same', 'ordinary'):
            raise ConfigError('CompleteDataBaseSampler: paste is complete, '
                              f'same or ordinary, not {paste!r}')
        super().__init__(*args, **kwargs)
        self.paste = paste
        self.keep_margin = keep_margin
        self.columns = _Columns(
            **{
                **dict(
                    use_dim=None,
                    time_dim=None,
                    time_value=0.,
                    norm_intensity=False,
                    norm_elongation=False),
                **(columns or {})
            })

    def sample_all(
            self,
            gt_bboxes: np.ndarray,
            gt_labels: np.ndarray,
            img: Optional[np.ndarray] = None,
            ground_plane: Optional[np.ndarray] = None) -> Optional[dict]:
        """Choose objects without collisions; see mmdet3d's class."""
        sampled: List[dict] = []
        taken = gt_bboxes
        for name, most in zip(self.sample_classes, self.sample_max_nums):
            present = int((gt_labels == self.cat2label[name]).sum())
            count = int(np.round(self.rate * int(most - present)))
            found = self.sample_class_v2(name, count,
                                         taken) if count > 0 else []
            if found:
                sampled += found
                taken = np.concatenate(
                    [taken, [entry['box3d_lidar'] for entry in found]])
        if not sampled:
            return None
        boxes = taken[len(gt_bboxes):].copy()
        pasted = [self._points(entry) for entry in sampled]
        if ground_plane is not None:
            height = boxes[:, :3] @ ground_plane[:3] + ground_plane[3]
            boxes[:, 2] -= height
            for points, shift in zip(pasted, height):
                points.tensor[:, 2] -= shift
        return dict(
            gt_labels_3d=np.array(
                [self.cat2label[entry['name']] for entry in sampled],
                np.int64),
            gt_bboxes_3d=boxes,
            points=pasted[0].cat(pasted),
            group_ids=np.arange(len(gt_bboxes),
                                len(gt_bboxes) + len(sampled)))

    def _points(self, entry: dict) -> BasePoints:
        """Points of an object at its original position."""
        path = osp.join(self.data_root or '', entry['path'])
        points = self.points_loader(
            dict(lidar_points=dict(lidar_path=path)))['points']
        points.translate(entry['box3d_lidar'][:3])
        if self.paste == 'ordinary':
            return points
        own = _with_column(points, BOTH)
        store = entry.get('complete_objects')
        if store is None or self.paste == 'same':
            return own
        objects = load_objects(osp.join(osp.dirname(path), store['path']))
        extra = self.columns(
            objects.place(store['index'], store['frame'],
                          np.array(store['box']), self.keep_margin),
            points.tensor.size(1))
        added = type(points)(extra, points_dim=extra.shape[1])
        return own.cat([own, _with_column(added, TEACHER)])
