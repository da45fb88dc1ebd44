"""Making a data set of driving scenes: in parallel, resumable."""
import multiprocessing
import os
import os.path as osp
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from mmkd.errors import ConfigError

from .assets import vehicles
from .contact_sheet import write_contact_sheet
from .layout import CONDITIONS, FEATURES, StreetBuilder, make_city
from .presets import CITIES, PRESETS, SPLITS, Preset
from .sensors import PinholeCamera, Renderer
from .sensors.camera import Exposure
from .world import Frame
from .writers import WRITERS
from .writers.files import read_json, write_json

#: Raised when the same seed gives other pictures than before.
VERSION = 2
MANIFEST = 'scenes.json'


def make_frames(preset: Preset, seed: int, split: str,
                number: int) -> List[Frame]:
    """The frames of one scene; they depend on the arguments alone.

    Args:
        preset (Preset): Sizes.
        seed (int): Seed of the data set.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        number (int): Number of the scene within its split.

    Returns:
        list[Frame]: Pictures with labels, instances and depth.
    """
    cities = CITIES[split]
    city = cities[number % len(cities)]
    rng = np.random.default_rng([seed, SPLITS.index(split), number])
    world = StreetBuilder(
        make_city(city, seed), rng, FEATURES[number % len(FEATURES)],
        CONDITIONS[number % len(CONDITIONS)]).build(f'{city}-{number}')
    renderer = Renderer(world, preset.supersample)
    camera = PinholeCamera(preset.height, preset.width)
    hood = vehicles.ego_hood(rng)
    night = world.conditions.night > 0
    times = (np.arange(preset.frames) + 0.5) * world.duration / preset.frames
    frames = []
    for index, time in enumerate(times.tolist()):
        image, label, instance, depth = renderer.render(
            camera, time, Exposure.random(rng, night), rng, hood)
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


def _record_path(root: str, split: str, number: int) -> str:
    return osp.join(root, '.scenes', f'{split}_{number:06d}.json')


def _make_scene(job: Tuple[Preset, int, str, int, str, Sequence[str]]) -> None:
    """Write a scene; its record comes last and says that it is whole."""
    preset, seed, split, number, root, formats = job
    frames = make_frames(preset, seed, split, number)
    record: Dict[str, Any] = {}
    for name in formats:
        writer = WRITERS[name](root)
        for frame in frames:
            writer.write(frame)
        record[name] = [writer.record(frame) for frame in frames]
    record['pixels'] = np.bincount(
        np.concatenate([frame.label.ravel() for frame in frames]),
        minlength=34).tolist()
    write_json(_record_path(root, split, number), record)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let processes that start here compute with one thread each.

    Each has a core of its own; threads that wait for each other by spinning
    would take it away. The variable is read when numpy and Open3D load.
    """
    name = 'OMP_NUM_THREADS'
    before = os.environ.get(name)
    os.environ[name] = '1'
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def generate(preset: str,
             root: str,
             seed: int = 0,
             size: Optional[Tuple[int, int]] = None,
             formats: Sequence[str] = ('cityscapes', 'coco'),
             workers: int = 2,
             overwrite: bool = False) -> str:
    """Write a data set of driving scenes, or the rest of one.

    Args:
        preset (str): One of :data:`PRESETS`.
        root (str): Folder of the data set.
        seed (int): Other seeds give other streets. Defaults to 0.
        size (tuple[int, int], optional): Height and width of the pictures in
            pixels. Defaults to None: those of the preset.
        formats (Sequence[str]): Of :data:`WRITERS`; ``cityscapes`` writes
            the pictures. Defaults to both.
        workers (int): Processes; the pictures do not depend on it. Defaults
            to 2.
        overwrite (bool): Whether to make an existing data set anew. Defaults
            to False.

    Returns:
        str: Path of the contact sheet.

    Raises:
        ConfigError: If an argument is not known, or if the folder holds
            scenes of other settings.
    """
    if preset not in PRESETS:
        raise ConfigError(f'there is no preset {preset!r}; there is '
                          f'{", ".join(PRESETS)}')
    unknown = [name for name in formats if name not in WRITERS]
    if unknown or 'cityscapes' not in formats:
        raise ConfigError(f'formats are {", ".join(WRITERS)}, and cityscapes '
                          f'is always one of them; got {", ".join(formats)}')
    chosen = PRESETS[preset]
    if size is not None:
        if min(size) < 16:
            raise ConfigError('pictures have 16 pixels a side at least, but '
                              f'size is {size[0]}x{size[1]}')
        chosen = replace(chosen, height=size[0], width=size[1])
    manifest = dict(
        version=VERSION,
        preset=preset,
        seed=seed,
        formats=sorted(formats),
        **chosen.to_dict())
    path = osp.join(root, MANIFEST)
    if osp.exists(path) and not overwrite:
        found = read_json(path)
        if found != manifest:
            differ = [
                f'{key} {found.get(key)!r} there, {manifest.get(key)!r} asked'
                for key in manifest if found.get(key) != manifest[key]
            ] or ['other keys']
            raise ConfigError(
                f'{root} holds scenes of other settings ({differ[0]}); give '
                'another folder, or --overwrite')
    elif osp.isdir(root) and os.listdir(root) and not osp.exists(path):
        raise ConfigError(f'{root} is not empty and holds no scenes; give '
                          'another folder')
    if overwrite:
        for scene in chosen.scenes():
            record = _record_path(root, *scene)
            if osp.exists(record):
                os.remove(record)
    write_json(path, manifest)
    jobs = [(chosen, seed, split, number, root, tuple(formats))
            for split, number in chosen.scenes()
            if not osp.exists(_record_path(root, split, number))]
    total = len(chosen.scenes())
    with tqdm(
            total=total,
            initial=total - len(jobs),
            desc=f'scenes ({preset})',
            unit='scene',
            mininterval=1) as bar:
        if workers > 1 and len(jobs) > 1:
            # Not forked: Open3D's threads do not survive a fork.
            context = multiprocessing.get_context('spawn')
            with _single_threaded(), context.Pool(workers) as pool:
                for _ in pool.imap_unordered(_make_scene, jobs):
                    bar.update()
        else:
            for job in jobs:
                _make_scene(job)
                bar.update()
    for name in formats:
        writer = WRITERS[name](root)
        for split in SPLITS:
            writer.finish(split, [
                frame for number in range(getattr(chosen, split))
                for frame in read_json(_record_path(root, split, number))[name]
            ])
    return write_contact_sheet(root)


def class_shares(root: str) -> Dict[str, Dict[str, float]]:
    """Share of the labelled pixels of each class, by split.

    Args:
        root (str): Folder of a finished data set.

    Returns:
        dict[str, dict[str, float]]: Split -> class -> share.
    """
    from .labels import CLASSES, LABEL_IDS
    shares = {}
    manifest = read_json(osp.join(root, MANIFEST))
    for split in SPLITS:
        pixels = sum(
            np.array(read_json(_record_path(root, split, number))['pixels'])
            for number in range(manifest[split]))
        counts = pixels[[LABEL_IDS[name] for name in CLASSES]]
        shares[split] = dict(
            zip(CLASSES, (counts / max(1, counts.sum())).tolist()))
    return shares
