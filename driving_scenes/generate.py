"""Generating a data set of driving scenes, in parallel and resumable."""
import fnmatch
import multiprocessing
import os
import os.path as osp
import zlib
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from .contact_sheet import write_contact_sheet
from .errors import ScenesError
from .groups import FORMATS, GROUPS
from .presets import PRESETS, SPLITS
from .writers.files import read_json, write_json, written_files

#: Increased when the same seed gives different files than before.
VERSION = 4
MANIFEST = 'scenes.json'
CONTACT_SHEET = 'contact_sheet.png'

#: Files that mmdet3d's converters, mmkd complete and users of a
#: data set add or replace.
DERIVED = ('*_infos_*.pkl', '*_dbinfos_*.pkl', '*_gt_database/*',
           '*/velodyne_reduced/*', '*/complete_objects/*', '*.cache',
           '*/.DS_Store')


def _record_path(root: str, group: str, split: str, number: int) -> str:
    return osp.join(root, '.scenes', f'{group}_{split}_{number:06d}.json')


def _lists_path(root: str, group: str) -> str:
    return osp.join(root, '.scenes', f'{group}_lists.json')


def _relative(files: Dict[str, List[int]], root: str) -> Dict[str, List[int]]:
    return {osp.relpath(path, root): found for path, found in files.items()}


def _make_scene(job: Tuple[str, dict, int, str, int, str]) -> None:
    """Write a scene; its record is written last and marks it as complete."""
    group, settings, seed, split, number, root = job
    with written_files() as files:
        record = GROUPS[group].write_scene(settings, seed, split, number, root)
    record['files'] = _relative(files, root)
    write_json(_record_path(root, group, split, number), record)


def _make_scenes(jobs: List[tuple], workers: int, bar: tqdm) -> None:
    """Write scenes, in parallel if there are several."""
    if workers < 2 or len(jobs) < 2:
        for job in jobs:
            _make_scene(job)
            bar.update()
        return
    # Spawned, since Open3D's threads do not survive a fork.
    context = multiprocessing.get_context('spawn')
    with _single_threaded(), context.Pool(workers) as pool:
        for _ in pool.imap_unordered(_make_scene, jobs):
            bar.update()


def _is_derived(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in DERIVED)


def _damage(root: str,
            files: Dict[str, List[int]],
            content: bool = False) -> List[str]:
    """Describe missing or modified files."""
    found = []
    for name, (size, checksum) in files.items():
        path = osp.join(root, name)
        if not osp.isfile(path):
            found.append(f'{name} is missing')
        elif _is_derived(name):
            continue
        elif osp.getsize(path) != size:
            found.append(f'{name} has {osp.getsize(path)} bytes, not {size}')
        elif content:
            with open(path, 'rb') as file:
                if zlib.crc32(file.read()) != checksum:
                    found.append(f'{name} has a different content')
    return found


def _scene_is_whole(root: str, group: str, split: str, number: int) -> bool:
    """Whether a scene is complete; prints a message if it is damaged."""
    path = _record_path(root, group, split, number)
    if not osp.exists(path):
        return False
    damage = _damage(root, read_json(path)['files'])
    if damage:
        tqdm.write(f'{root}: {damage[0]}; its scene is regenerated')
        os.remove(path)
    return not damage


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Context in which new processes compute with one thread each.

    Each process has its own core, and spinning threads would slow it down.
    NumPy and Open3D read the variable when they are loaded.
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


def _difference(found: dict, wanted: dict) -> Optional[str]:
    """The first setting in which two data sets differ."""
    for key, value in wanted.items():
        if found.get(key) != value:
            return f'{key} is {found.get(key)!r} there, not {value!r}'
    return None


def _open(root: str, preset: str, seed: int, groups: Dict[str, dict],
          overwrite: bool) -> None:
    """Check the manifest of a folder, or write it.

    Raises:
        ScenesError: If the folder has other content.
    """
    path = osp.join(root, MANIFEST)
    common = dict(version=VERSION, preset=preset, seed=seed)
    manifest = dict(common, groups=groups)
    if osp.exists(path) and not overwrite:
        found = read_json(path)
        there = found.get('groups', {})
        differ = _difference(found, common)
        for name in groups:
            if name in there and differ is None:
                differ = _difference(there[name], groups[name])
        if differ:
            raise ScenesError(
                f'{root} holds scenes with other settings ({differ}); use '
                'another folder, or --overwrite')
        manifest['groups'] = {**there, **groups}
    elif osp.isdir(root) and os.listdir(root) and not osp.exists(path):
        raise ScenesError(f'{root} is not empty and holds no scenes; use '
                          'another folder')
    if overwrite:
        for name, settings in groups.items():
            for scene in GROUPS[name].scenes(settings):
                record = _record_path(root, name, *scene)
                if osp.exists(record):
                    os.remove(record)
    write_json(path, manifest)


def generate(preset: str,
             root: str,
             seed: int = 0,
             size: Optional[Tuple[int, int]] = None,
             formats: Sequence[str] = ('cityscapes', 'coco'),
             workers: int = 2,
             overwrite: bool = False) -> Optional[str]:
    """Generate a data set of driving scenes, or complete an interrupted one.

    Formats with the same frames are generated together: Cityscapes and COCO.
    Other formats can be added to a folder later.

    Args:
        preset (str): One of :data:`PRESETS`.
        root (str): Folder of the data set.
        seed (int): Seed of the streets. Defaults to 0.
        size (tuple[int, int], optional): Height and width of the images of
            Cityscapes and COCO. Defaults to None: those of the preset.
        formats (Sequence[str]): Of :data:`.groups.FORMATS`. Defaults to
            Cityscapes and COCO.
        workers (int): Number of processes; it does not affect the files.
            Defaults to 2.
        overwrite (bool): Whether to regenerate existing files. Defaults to
            False.

    Returns:
        str, optional: Path of the contact sheet, if the formats include
        Cityscapes.

    Raises:
        ScenesError: If an argument is unknown, or if the folder holds scenes
            with other settings or unexpected files.
    """
    if preset not in PRESETS:
        raise ScenesError(f'there is no preset {preset!r}; there is '
                          f'{", ".join(PRESETS)}')
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ScenesError(f'formats are {", ".join(FORMATS)}; got '
                          f'{", ".join(formats) or "none"}')
    groups = {
        name: GROUPS[name].settings(preset, size)
        for name in GROUPS if name in {FORMATS[x]
                                       for x in formats}
    }
    _open(root, preset, seed, groups, overwrite)
    _remove_parts(root)
    scenes = [(name, *scene) for name, settings in groups.items()
              for scene in GROUPS[name].scenes(settings)]
    jobs = [(name, groups[name], seed, split, number, root)
            for name, split, number in scenes
            if not _scene_is_whole(root, name, split, number)]
    with tqdm(
            total=len(scenes),
            initial=len(scenes) - len(jobs),
            desc=f'scenes ({preset})',
            unit='scene',
            mininterval=1) as bar:
        _make_scenes(jobs, workers, bar)
    for name, settings in groups.items():
        with written_files() as files:
            GROUPS[name].finish(
                settings, root, lambda split, number: read_json(
                    _record_path(root, name, split, number)))
        write_json(_lists_path(root, name), _relative(files, root))
    found = problems(root, content=False) if _is_complete(root) else []
    if found:
        raise ScenesError(
            f'{root}: {found[0]}'
            f'{f" (and {len(found) - 1} more)" if len(found) > 1 else ""}; '
            'remove unexpected files, or use an empty folder')
    return write_contact_sheet(root) if 'camera' in groups else None


def _is_complete(root: str) -> bool:
    """Whether all scenes of all groups are complete."""
    return all(
        osp.exists(_record_path(root, name, *scene)) for name, settings in
        read_json(osp.join(root, MANIFEST))['groups'].items()
        for scene in GROUPS[name].scenes(settings))


def _remove_parts(root: str) -> None:
    """Remove incomplete files of a killed run."""
    for base, _, names in os.walk(root):
        for name in names:
            if name.endswith('.part'):
                os.remove(osp.join(base, name))


def problems(root: str, content: bool = True) -> List[str]:
    """Verify the files of a data set.

    Args:
        root (str): Folder of the data set.
        content (bool): Whether to compare checksums of the contents, in
            addition to names and sizes. Defaults to True.

    Returns:
        list[str]: A line for each file that is missing, modified or
        unexpected. Files of mmdet3d's converters are expected.

    Raises:
        ScenesError: If the folder holds no driving scenes.
    """
    path = osp.join(root, MANIFEST)
    if not osp.exists(path):
        raise ScenesError(f'{root} holds no driving scenes: there is no '
                          f'{MANIFEST}')
    found, known = [], {MANIFEST, CONTACT_SHEET}
    for name, settings in read_json(path).get('groups', {}).items():
        records = [
            _record_path(root, name, *scene)
            for scene in GROUPS[name].scenes(settings)
        ]
        for record in records:
            if not osp.exists(record):
                found.append(f'{osp.relpath(record, root)} is missing: its '
                             'scene is incomplete')
                continue
            files = read_json(record)['files']
            found += _damage(root, files, content)
            known.update(files)
        lists = _lists_path(root, name)
        if osp.exists(lists):
            files = read_json(lists)
            found += _damage(root, files, content)
            known.update(files)
        elif all(map(osp.exists, records)):
            found.append(f'{osp.relpath(lists, root)} is missing: the lists '
                         'are incomplete')
    for base, folders, names in os.walk(root):
        if base == root and '.scenes' in folders:
            folders.remove('.scenes')
        for name in names:
            own = osp.relpath(osp.join(base, name), root)
            if own not in known and not _is_derived(own):
                found.append(f'{own} does not belong there')
    return found


def class_shares(root: str) -> Dict[str, Dict[str, float]]:
    """Fraction of labelled pixels of each class, by split.

    Args:
        root (str): Folder of a complete data set with Cityscapes.

    Returns:
        dict[str, dict[str, float]]: Split -> class -> fraction.
    """
    from .labels import CLASSES, LABEL_IDS
    shares: Dict[str, Any] = {}
    settings = read_json(osp.join(root, MANIFEST))['groups']['camera']
    for split in SPLITS:
        pixels = sum(
            np.array(
                read_json(_record_path(root, 'camera', split, number))
                ['pixels']) for number in range(settings[split]))
        counts = pixels[[LABEL_IDS[name] for name in CLASSES]]
        shares[split] = dict(
            zip(CLASSES, (counts / max(1, counts.sum())).tolist()))
    return shares
