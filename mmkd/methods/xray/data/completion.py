"""Gathering the points of objects over all frames of a scene.

Gambashidze et al., Weak-to-Strong 3D Object Detection with X-Ray
Distillation, CVPR 2024.
"""
import hashlib
import json
import os
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mmkd.errors import ConfigError
from mmkd.methods.xray.data.boxes import (BOX_SIZE, is_proper, points_in_boxes,
                                          pose_of_box, transform)
from mmkd.methods.xray.data.registration import IcpOptions, register

STRATEGIES = ('concat', 'icp', 'none')
#: Version of the files; increase it to regenerate them.
_FORMAT = 2


@dataclass(frozen=True)
class CompletionOptions:
    """Options of completion.

    Args:
        strategy (str): ``'concat'`` trusts the boxes; ``'icp'`` registers
            the views, for predicted boxes; ``'none'`` keeps the first view of
            an object only, to see what the others add. Defaults to
            ``'concat'``.
        extract_margin (float): Enlargement of boxes on each side when points
            are extracted, metres. Defaults to 0.
        voxel (float): Size of cubes in which one point is kept, metres; 0
            keeps all. Defaults to 0.05.
        max_points (int): Maximum points per object; 0 means no limit.
            Defaults to 4096.
        min_points (int): Objects with fewer points are not completed.
            Defaults to 1.
        min_views (int): Objects visible in fewer frames are not completed.
            Defaults to 2.
        frame_step (int): Use every N-th frame as a view. Defaults to 1.
        classes (tuple[str], optional): Classes of objects to complete.
            Defaults to None: the detection classes.
        every_class (bool): Whether to complete objects of all other classes
            as well. Defaults to False.
        seed (int): Seed for sampling points. Defaults to 0.
        icp (IcpOptions): Options of the strategy ``'icp'``.

    Raises:
        ConfigError: If a value is invalid.
    """
    strategy: str = 'concat'
    extract_margin: float = 0.
    voxel: float = 0.05
    max_points: int = 4096
    min_points: int = 1
    min_views: int = 2
    frame_step: int = 1
    classes: Optional[Tuple[str, ...]] = None
    every_class: bool = False
    seed: int = 0
    icp: IcpOptions = field(default_factory=IcpOptions)

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ConfigError(f'strategy is one of {", ".join(STRATEGIES)}, '
                              f'not {self.strategy!r}')
        for name in ('extract_margin', 'voxel', 'max_points'):
            if not getattr(self, name) >= 0:
                raise ConfigError(f'{name} must be 0 or more, but is '
                                  f'{getattr(self, name)}')
        for name in ('min_points', 'min_views', 'frame_step'):
            if not getattr(self, name) >= 1:
                raise ConfigError(f'{name} must be 1 or more, but is '
                                  f'{getattr(self, name)}')

    def key(self) -> str:
        """Key that identifies these options."""
        text = json.dumps(dict(asdict(self), format=_FORMAT), sort_keys=True)
        return hashlib.sha1(text.encode()).hexdigest()[:16]


#: The published tool: no thinning, no limit, all objects. Its placement is the
#: preset of ``LoadCompleteObjects``.
PUBLISHED = dict(
    strategy='concat', voxel=0., max_points=0, min_views=1, every_class=True)


class SceneFrame(NamedTuple):
    """Input of completion for a frame.

    Attributes:
        name (str): Name of the frame.
        path (str): File of its points, float32.
        columns (int): Columns of the points in the file.
        ids (list[str]): Object of each box; ``''`` if unknown.
        labels (list[int]): Class of each box in the data set's infos; -1
            for classes that are not detected.
        boxes (np.ndarray): (n, 10), in the LiDAR frame.
        time (float): Time of the frame, seconds.
    """
    name: str
    path: str
    columns: int
    ids: List[str]
    labels: List[int]
    boxes: np.ndarray
    time: float


def read_points(path: str, columns: int) -> np.ndarray:
    """Read the points of a file, (N, columns), float32.

    Raises:
        ConfigError: If the file is missing or has a different layout.
    """
    try:
        values = np.fromfile(path, np.float32)
    except OSError as error:
        raise ConfigError(f'cannot read the points {path}: '
                          f'{error.strerror}') from None
    if len(values) % columns:
        raise ConfigError(f'{path} has {len(values)} numbers, which are not '
                          f'points of {columns}')
    return values.reshape(-1, columns)


def thin(points: np.ndarray, views: np.ndarray, voxel: float) -> np.ndarray:
    """Choose one point per cube: the nearest to its centre.

    Args:
        points (np.ndarray): (N, 3), metres.
        views (np.ndarray): (N, ), view of each point. Ties are resolved by
            the first view, then by the first point.
        voxel (float): Size of the cubes, metres.

    Returns:
        np.ndarray: Increasing indices.
    """
    if not len(points):
        return np.zeros(0, np.int64)
    points = points.astype(np.float64)
    cells = np.floor(points / voxel)
    distance = (((cells + .5) * voxel - points)**2).sum(1)
    order = np.lexsort((views, distance, *cells.T))  # stable
    ordered = cells[order]
    first = np.ones(len(points), bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(1)
    return np.sort(order[first])


class PlacedPoints(NamedTuple):
    """Points of an object at its position in a frame.

    Attributes:
        points (np.ndarray): (M, D), float32.
        age (np.ndarray): (M, ), time of the frame minus that of their view,
            seconds; negative for views of later frames.
    """
    points: np.ndarray
    age: np.ndarray


@dataclass
class CompleteObjects:
    """The objects of a scene, each with the points of all its views.

    Points are in the object's own frame: origin at the centre of its box, x
    along its length, z up. They are sorted by object; objects by id. A view
    holds the points of one object in one frame.

    Attributes:
        points (np.ndarray): (N, D), float32, columns as in the files.
        view_id (np.ndarray): (N, ), view of each point.
        inst_ptr (np.ndarray): (I + 1, ), offsets of the points of each
            object.
        inst_id (np.ndarray): (I, ), ids.
        name (np.ndarray): (I, ), names of their classes, ``''`` if they have
            none.
        view_inst (np.ndarray): (V, ), object of each view.
        view_frame (np.ndarray): (V, ), its frame.
        view_size (np.ndarray): (V, 3), length, width and height of its box,
            metres.
        align (np.ndarray): (V, 4, 4), float64, transform that aligns its
            points with those of the other views; the identity unless
            registered.
        align_status (np.ndarray): (V, ), 0 without registration, otherwise
            the status of :func:`~.registration.register`.
        frame_id (np.ndarray): (F, ), names of the frames.
        frame_time (np.ndarray): (F, ), their times, seconds.
        own_ptr (np.ndarray): (F + 1, ), offsets of the boxes of each frame in
            the next two.
        own_index (np.ndarray): Object of each box of the frames, -1 for
            none.
        own_count (np.ndarray): Points of the frame in each of its boxes; -1
            for invalid boxes.
        hash (np.ndarray): (), hash of options and input.
    """
    points: np.ndarray
    view_id: np.ndarray
    inst_ptr: np.ndarray
    inst_id: np.ndarray
    name: np.ndarray
    view_inst: np.ndarray
    view_frame: np.ndarray
    view_size: np.ndarray
    align: np.ndarray
    align_status: np.ndarray
    frame_id: np.ndarray
    frame_time: np.ndarray
    own_ptr: np.ndarray
    own_index: np.ndarray
    own_count: np.ndarray
    hash: np.ndarray

    def __len__(self) -> int:
        return len(self.inst_id)

    def counts(self) -> np.ndarray:
        """Number of points of each object, (I, )."""
        return np.diff(self.inst_ptr)

    def save(self, path: str) -> None:
        """Write a file atomically."""
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        part = f'{path}.part'
        with open(part, 'wb') as file:
            np.savez(file, **vars(self))
        os.replace(part, path)

    @classmethod
    def load(cls, path: str) -> 'CompleteObjects':
        """Read a file.

        Raises:
            ConfigError: If it is missing or broken.
        """
        try:
            with np.load(path) as arrays:
                return cls(
                    **
                    {name: arrays[name]
                     for name in cls.__dataclass_fields__})
        except (OSError, ValueError, KeyError, EOFError,
                zipfile.BadZipFile) as error:
            raise ConfigError(
                f'{path} holds no objects ({type(error).__name__}: {error}); '
                'make it with mmkd complete') from None

    def place(self,
              index: int,
              frame: int,
              box: np.ndarray,
              keep_margin: Optional[float] = 0.1,
              own: bool = False,
              window: Optional[int] = None,
              size_mode: str = 'centre') -> 'PlacedPoints':
        """The points of an object at its position in a frame.

        Args:
            index (int): Index of the object.
            frame (int): Index of the frame.
            box (np.ndarray): (10, ), its box there.
            keep_margin (float, optional): Points further outside the box are
                dropped, metres; None keeps all. Defaults to 0.1.
            own (bool): Whether to include the frame's own view. Defaults to
                False.
            window (int, optional): Use only views from this many frames
                before and after. Defaults to None: the whole scene.
            size_mode (str): ``'centre'`` keeps the positions relative to the
                centre of the box, ``'scale'`` scales them by the size of the
                box relative to that of the view. Defaults to ``'centre'``.

        Returns:
            PlacedPoints: In the frame of ``box``.
        """
        part = slice(self.inst_ptr[index], self.inst_ptr[index + 1])
        views = self.view_id[part]
        distance = np.abs(self.view_frame[views] - frame)
        chosen = np.ones(len(views), bool) if own else distance > 0
        if window is not None:
            chosen &= distance <= window
        points, views = self.points[part][chosen], views[chosen]
        age = self.frame_time[frame] - self.frame_time[self.view_frame[views]]
        if not len(points):
            return PlacedPoints(points.copy(), age)
        here = np.flatnonzero((self.view_inst == index)
                              & (self.view_frame == frame))
        back = np.linalg.inv(self.align[here[0]]) if len(here) else np.eye(4)
        local = points[:, :3].astype(np.float64)
        if size_mode == 'scale':
            local *= box[3:6] / self.view_size[views]
        motion = (back @ self.align)[views]
        local = np.einsum('nij,nj->ni', motion[:, :3, :3],
                          local) + motion[:, :3, 3]
        if keep_margin is not None:
            inside = (np.abs(local) <= box[3:6] / 2 + keep_margin).all(1)
            local, points, age = local[inside], points[inside], age[inside]
        placed = points.copy()
        placed[:, :3] = transform(local, pose_of_box(box))
        return PlacedPoints(placed, age)


def input_hash(frames: Sequence[SceneFrame],
               options: CompletionOptions) -> str:
    """Hash that identifies the result for these frames."""
    state = hashlib.sha1(options.key().encode())
    for frame in frames:
        named = [frame.name, frame.path, frame.columns, frame.ids, frame.time]
        state.update(
            json.dumps([*named, list(map(int, frame.labels))]).encode())
        state.update(np.ascontiguousarray(frame.boxes, '<f8').tobytes())
    return state.hexdigest()


class _View(NamedTuple):
    frame: int
    points: np.ndarray
    size: np.ndarray


def _cut_out(
    scene: str, frames: Sequence[SceneFrame], wanted: Callable[[int], bool],
    options: CompletionOptions, read: Callable[[str, int], np.ndarray]
) -> Tuple[Dict[str, List[_View]], Dict[str, int], List[np.ndarray]]:
    """Views and class of each object, and points of each box by frame."""
    views: Dict[str, List[_View]] = {}
    labels: Dict[str, int] = {}
    counts = []
    for number, frame in enumerate(frames):
        known = [x for x in frame.ids if x]
        if len(set(known)) < len(known):
            twice = next(x for x in known if known.count(x) > 1)
            raise ConfigError(f'scene {scene}, frame {frame.name}: the '
                              f'object {twice} has two boxes')
        boxes = np.reshape(frame.boxes, (-1, BOX_SIZE))
        points = read(frame.path, frame.columns)
        inside = points_in_boxes(points, boxes, options.extract_margin)
        counts.append(
            np.array([
                len(index) if is_proper(box) else -1
                for index, box in zip(inside, boxes)
            ], np.int64))
        for id_, label, box, index in zip(frame.ids, frame.labels, boxes,
                                          inside):
            if not id_ or not wanted(label) or not is_proper(box):
                continue
            labels.setdefault(id_, int(label))
            found = views.setdefault(id_, [])
            if len(index) and number % options.frame_step == 0:
                cut = points[index].copy()
                cut[:, :3] = transform(cut[:, :3],
                                       np.linalg.inv(pose_of_box(box)))
                found.append(_View(number, cut, box[3:6]))
    return views, labels, counts


def _align(views: List[_View],
           options: CompletionOptions) -> Tuple[np.ndarray, np.ndarray]:
    """Transforms that align the views, largest view first."""
    align = np.tile(np.eye(4), (len(views), 1, 1))
    status = np.zeros(len(views), np.int8)
    if options.strategy != 'icp':
        return align, status
    order = sorted(range(len(views)), key=lambda i: (-len(views[i].points), i))
    cloud = views[order[0]].points[:, :3]
    for i in order[1:]:
        view = views[i].points[:, :3]
        align[i], status[i] = register(view, cloud, options.icp)
        cloud = np.concatenate([cloud, transform(view, align[i])])
        if options.voxel:
            cloud = cloud[thin(cloud, np.zeros(len(cloud), int),
                               options.voxel)]
    return align, status


class _Object(NamedTuple):
    """Views of an object, and its points with the view of each."""
    views: List[_View]
    points: np.ndarray
    view_id: np.ndarray
    align: np.ndarray
    status: np.ndarray


def _gather(views: List[_View], options: CompletionOptions,
            seed: int) -> Optional[_Object]:
    """Align and thin the views of an object; None if there are too few."""
    total = sum(len(view.points) for view in views)
    if len(views) < options.min_views or total < options.min_points:
        return None
    if options.strategy == 'none':
        views = views[:1]
        total = len(views[0].points)
    align, status = _align(views, options)
    points = np.concatenate([view.points for view in views])
    view_id = np.repeat(
        np.arange(len(views)), [len(view.points) for view in views])
    chosen = np.arange(total)
    if options.voxel:
        aligned = np.concatenate(
            [transform(v.points[:, :3], a) for v, a in zip(views, align)])
        chosen = thin(aligned, view_id, options.voxel)
    if options.max_points and len(chosen) > options.max_points:
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(chosen, options.max_points, replace=False))
    return _Object(views, points[chosen], view_id[chosen], align, status)


def _lay_out(objects: List[_Object], columns: int) -> Dict[str, np.ndarray]:
    """Arrays of :class:`CompleteObjects` over all objects, one by one."""
    views = [view for found in objects for view in found.views]
    first_view = np.cumsum([0, *(len(found.views) for found in objects)])
    return dict(
        points=np.concatenate([
            np.zeros(
                (0, columns), np.float32), *(found.points for found in objects)
        ],
                              dtype=np.float32),
        view_id=np.concatenate([
            np.zeros(0, np.int32),
            *(found.view_id + first
              for found, first in zip(objects, first_view))
        ]).astype(np.int32),
        inst_ptr=np.cumsum([0, *(len(found.points) for found in objects)]),
        view_inst=np.repeat(
            np.arange(len(objects), dtype=np.int32), np.diff(first_view)),
        view_frame=np.array([view.frame for view in views], np.int32),
        view_size=np.array([view.size for view in views],
                           np.float64).reshape(-1, 3),
        align=np.concatenate(
            [np.zeros((0, 4, 4)), *(found.align for found in objects)]),
        align_status=np.concatenate(
            [np.zeros(0, np.int8), *(found.status for found in objects)]))


def complete_scene(
        scene: str,
        frames: Sequence[SceneFrame],
        options: CompletionOptions = CompletionOptions(),
        names: Optional[Dict[int, str]] = None,
        read: Callable[[str, int],
                       np.ndarray] = read_points) -> CompleteObjects:
    """Gather the points of every object of a scene.

    Each cloud is read once; only the points of objects are kept. The result
    depends only on the arguments, and not on the order of the boxes.

    Args:
        scene (str): Name of the scene. Ids are local to a scene.
        frames (Sequence[SceneFrame]): Its frames in order of time.
        options (CompletionOptions): The options.
        names (dict[int, str], optional): Names of the classes. Defaults to
            None.
        read (Callable): Function that reads the points of a file. Defaults to
            :func:`read_points`.

    Raises:
        ConfigError: If an object has two boxes in a frame, or a file cannot
            be read.
    """

    def wanted(label: int) -> bool:
        if options.classes is not None:
            return (names or {}).get(int(label)) in options.classes
        return label >= 0 or options.every_class

    views, labels, counts = _cut_out(scene, frames, wanted, options, read)
    objects = {}
    for id_ in sorted(views):
        seed = zlib.crc32(f'{scene}/{id_}'.encode()) ^ options.seed
        gathered = _gather(views[id_], options, seed)
        if gathered is not None:
            objects[id_] = gathered
    columns = frames[0].columns if len(frames) else 3
    number = {id_: i for i, id_ in enumerate(objects)}
    return CompleteObjects(
        **_lay_out(list(objects.values()), columns),
        inst_id=np.array(list(objects), str),
        name=np.array([(names or {}).get(labels[id_], '') for id_ in objects],
                      str),
        frame_id=np.array([frame.name for frame in frames], str),
        frame_time=np.array([frame.time for frame in frames], np.float64),
        own_ptr=np.cumsum([0, *map(len, counts)]),
        own_index=np.array(
            [number.get(id_, -1) for frame in frames for id_ in frame.ids],
            np.int32),
        own_count=np.concatenate(counts) if counts else np.zeros(0, np.int64),
        hash=np.array(input_hash(frames, options)))
