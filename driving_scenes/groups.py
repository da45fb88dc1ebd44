"""Formats that are written from the same frames."""
import os.path as osp
from abc import ABC, abstractmethod
from dataclasses import asdict, replace
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from .assets import vehicles
from .errors import ScenesError
from .kitti import KITTI_SIZES, KittiSize, make_kitti_frames
from .nuscenes import FULL, NUSCENES_SIZES, NuScenesSize, make_nuscenes_scene
from .plan import CONDITIONS, FEATURES, build_world, draw_plan, make_city
from .presets import CITIES, PRESETS, SPLITS, Preset
from .seeds import child, named
from .sensors import PinholeCamera, Renderer
from .sensors.camera import Exposure
from .world import Frame
from .writers import CityscapesWriter, CocoWriter, KittiWriter, NuScenesWriter

Scenes = List[Tuple[str, int]]


class Group(ABC):
    """Formats that are generated together, scene by scene.

    Groups are independent: one can be added to a data set with others.
    """
    #: Name in the manifest and of the records.
    name: str = ''
    #: Names of the formats.
    formats: Tuple[str, ...] = ()

    @abstractmethod
    def settings(self, preset: str, size: Optional[Tuple[int, int]]) -> dict:
        """Settings that determine the files, apart from the seed.

        Args:
            preset (str): Name of a preset.
            size (tuple[int, int], optional): Height and width of the images,
                if they differ from the preset's.
        """

    def scenes(self, settings: dict) -> Scenes:
        """All scenes as (split, number)."""
        return [(split, number) for split in SPLITS
                for number in range(settings[split])]

    @abstractmethod
    def write_scene(self, settings: dict, seed: int, split: str, number: int,
                    root: str) -> Dict[str, Any]:
        """Write the files of a scene; they depend only on the arguments.

        Returns:
            dict: The record for :meth:`finish`, as JSON.
        """

    @abstractmethod
    def finish(self, settings: dict, root: str,
               record: Callable[[str, int], Dict[str, Any]]) -> None:
        """Write the lists of files, given the records of all scenes."""


def make_frames(preset: Preset, seed: int, split: str,
                number: int) -> List[Frame]:
    """Make the frames of a scene; they depend only on the arguments.

    Args:
        preset (Preset): Sizes.
        seed (int): Seed of the data set.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        number (int): Number of the scene within its split.

    Returns:
        list[Frame]: Images with labels, instances and depth.
    """
    cities = CITIES[split]
    city = cities[number % len(cities)]
    own = (seed, SPLITS.index(split), number, 0)
    plan = draw_plan(
        make_city(city, seed), own, FEATURES[number % len(FEATURES)],
        CONDITIONS[number % len(CONDITIONS)])
    world = build_world(plan, own, f'{city}-{number}')
    renderer = Renderer(world, preset.supersample)
    camera = PinholeCamera(preset.height, preset.width)
    hood, rng = vehicles.ego_hood(named(own, 'hood')), named(own, 'sensors')
    night = world.conditions.night > 0
    times = (np.arange(preset.frames) + 0.5) * world.duration / preset.frames
    frames = []
    for index, time in enumerate(times.tolist()):
        image, label, instance, depth = renderer.render(
            camera, time, Exposure.random(child(rng), night), child(rng), hood)
        rotation, translation = renderer.ego_pose(time)
        frames.append(
            Frame(
                split, city, number, index, time, image, label, instance,
                depth,
                dict(
                    intrinsics=camera.intrinsics.tolist(),
                    camera_to_ego_rotation=camera.rotation.tolist(),
                    camera_to_ego_translation=list(camera.position),
                    ego_to_world_rotation=rotation.tolist(),
                    ego_to_world_translation=translation.tolist(),
                    time=time,
                    conditions=world.conditions.name)))
    return frames


class CameraGroup(Group):
    """One front camera: Cityscapes, and COCO for the same images."""
    name = 'camera'
    formats = ('cityscapes', 'coco')
    _writers = dict(cityscapes=CityscapesWriter, coco=CocoWriter)

    def settings(self, preset: str, size: Optional[Tuple[int, int]]) -> dict:
        """The numbers of :class:`.presets.Preset`."""
        chosen = PRESETS[preset]
        if size is not None:
            if min(size) < 16:
                raise ScenesError('images need at least 16 pixels a side, '
                                  f'but size is {size[0]}x{size[1]}')
            chosen = replace(chosen, height=size[0], width=size[1])
        return chosen.to_dict()

    def write_scene(self, settings: dict, seed: int, split: str, number: int,
                    root: str) -> Dict[str, Any]:
        """Pictures and label maps of a scene."""
        frames = make_frames(Preset(**settings), seed, split, number)
        record: Dict[str, Any] = {}
        for name, kind in self._writers.items():
            writer = kind(root)
            for frame in frames:
                writer.write(frame)
            record[name] = [writer.record(frame) for frame in frames]
        record['pixels'] = np.bincount(
            np.concatenate([frame.label.ravel() for frame in frames]),
            minlength=34).tolist()
        return record

    def finish(self, settings: dict, root: str,
               record: Callable[[str, int], Dict[str, Any]]) -> None:
        """COCO's lists of instances."""
        for name, kind in self._writers.items():
            writer = kind(root)
            for split in SPLITS:
                writer.finish(split, [
                    frame for number in range(settings[split])
                    for frame in record(split, number)[name]
                ])


class NuScenesGroup(Group):
    """Six cameras and a LiDAR on the roof: nuScenes."""
    name = 'nuscenes'
    formats = ('nuscenes', )

    def settings(self, preset: str, size: Optional[Tuple[int, int]]) -> dict:
        """The numbers of :class:`.nuscenes.NuScenesSize`."""
        return asdict(NUSCENES_SIZES[preset])

    def write_scene(self, settings: dict, seed: int, split: str, number: int,
                    root: str) -> Dict[str, Any]:
        """Pictures, sweeps and map of a scene."""
        scene, frames = make_nuscenes_scene(
            NuScenesSize(**settings), seed, split, number)
        writer = NuScenesWriter(osp.join(root, 'nuscenes'), seed)
        return dict(
            seed=seed,
            channels=[x.channel for x in scene.mounts],
            tables=writer.write(scene, frames))

    def finish(self, settings: dict, root: str,
               record: Callable[[str, int], Dict[str, Any]]) -> None:
        """The tables."""
        found = {
            split:
            [record(split, number) for number in range(settings[split])]
            for split in SPLITS
        }
        first = next(x for records in found.values() for x in records)
        channels = first['channels']
        writer = NuScenesWriter(osp.join(root, 'nuscenes'), first['seed'])
        rows = {
            split: [x['tables'] for x in records]
            for split, records in found.items()
        }
        writer.finish(
            NuScenesSize(**settings).version, rows['train'] + rows['val'],
            channels)
        writer.finish_test(rows['test'],
                           [f'scene-{x:04d}' for x in FULL['val']], channels)


class KittiGroup(Group):
    """A front camera and a LiDAR with 64 beams: KITTI object."""
    name = 'kitti'
    formats = ('kitti', )

    def settings(self, preset: str, size: Optional[Tuple[int, int]]) -> dict:
        """The numbers of :class:`.kitti.KittiSize`."""
        return asdict(KITTI_SIZES[preset])

    def write_scene(self, settings: dict, seed: int, split: str, number: int,
                    root: str) -> Dict[str, Any]:
        """Pictures, sweeps and labels of a scene."""
        writer = KittiWriter(osp.join(root, 'kitti'))
        records = []
        for frame in make_kitti_frames(
                KittiSize(**settings), seed, split, number):
            writer.write(frame)
            records.append(writer.record(frame))
        return dict(frames=records)

    def finish(self, settings: dict, root: str,
               record: Callable[[str, int], Dict[str, Any]]) -> None:
        """Lists of frames, infos and sequences."""
        KittiWriter(osp.join(root, 'kitti')).finish({
            split: [
                frame for number in range(settings[split])
                for frame in record(split, number)['frames']
            ]
            for split in SPLITS
        })


#: By name.
GROUPS: Dict[str, Group] = {
    group.name: group
    for group in (CameraGroup(), NuScenesGroup(), KittiGroup())
}
#: Group of each format.
FORMATS: Dict[str, str] = {
    name: group.name
    for group in GROUPS.values()
    for name in group.formats
}
