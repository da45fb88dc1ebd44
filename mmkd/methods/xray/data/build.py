"""Completing all scenes of an index file in parallel."""
import copy
import json
import os.path as osp
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from typing import Callable, Dict, List, Tuple

import numpy as np
from tqdm import tqdm

from mmkd.errors import ConfigError
from mmkd.methods.xray.data.completion import (CompleteObjects,
                                               CompletionOptions, SceneFrame,
                                               complete_scene, input_hash)
from mmkd.methods.xray.data.infos import (Infos, class_names, group_by_scene,
                                          scene_frame)
from mmkd.methods.xray.data.registration import ALIGNED, REJECTED
from mmkd.utils.files import read_json, write_json
from mmkd.version import __version__

#: Folder of the results in the data folder.
FOLDER = 'complete_objects'


@dataclass
class Report:
    """Summary of a run.

    Attributes:
        counts (Counter): Numbers of scenes, frames, objects, points etc.
        failed (dict[str, str]): Failed scenes with the reasons.
    """
    counts: Counter = field(default_factory=Counter)
    failed: Dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [', '.join(f'{n} {name}' for name, n in self.counts.items())]
        lines += [f'scene {x} failed: {why}' for x, why in self.failed.items()]
        return '\n'.join(lines)


def store_folder(data_root: str, tag: str) -> str:
    """Folder of the objects of a tag."""
    return osp.join(data_root, FOLDER, tag)


def safe_name(scene: str) -> str:
    """A valid file name for a scene, never ``..``."""
    name = ''.join(c if c.isalnum() or c in '-_.' else '_' for c in scene)
    return f'_{name}' if name.startswith('.') else name


def scene_file(data_root: str, tag: str, scene: str) -> str:
    """File of the objects of a scene."""
    return osp.join(
        store_folder(data_root, tag), 'scenes', f'{safe_name(scene)}.npz')


def _is_done(path: str, expected: str) -> bool:
    try:
        return osp.isfile(path) and str(
            CompleteObjects.load(path).hash) == expected
    except ConfigError:
        return False


def _work(scene: str, frames: List[SceneFrame], options: CompletionOptions,
          names: Dict[int, str], path: str) -> None:
    complete_scene(scene, frames, options, names).save(path)


def keep_manifest(folder: str, options: dict, key: str,
                  overwrite: bool) -> None:
    """Write the manifest of a folder, or check an existing one.

    Args:
        folder (str): Folder of ``manifest.json``.
        options (dict): The options.
        key (str): Key that identifies the options.
        overwrite (bool): Whether to regenerate everything.

    Raises:
        ConfigError: If the folder was made with other options.
    """
    path = osp.join(folder, 'manifest.json')
    manifest = json.loads(
        json.dumps(dict(options=options, key=key, mmkd=__version__)))
    if osp.isfile(path) and not overwrite:
        before = read_json(path)
        if before['key'] != key:
            changed = [
                f'{name} {before["options"].get(name)} -> {value}'
                for name, value in manifest['options'].items()
                if before['options'].get(name) != value
            ]
            raise ConfigError(
                f'{osp.dirname(path)} was made with other options '
                f'({", ".join(changed) or "another version"}); choose '
                'another --tag, or regenerate it with --overwrite')
        return
    write_json(path, manifest)


def _copied(infos: Infos) -> Infos:
    """A copy down to the boxes, without copying sweeps and images."""
    return dict(
        infos,
        data_list=[
            dict(info, instances=[dict(x) for x in info['instances']])
            for info in infos['data_list']
        ])


def complete(infos: Infos,
             data_root: str,
             points_folder: str,
             tag: str = 'complete',
             options: CompletionOptions = CompletionOptions(),
             workers: int = 1,
             overwrite: bool = False,
             progress: bool = True) -> Tuple[Infos, Report]:
    """Complete the objects of all scenes of an index file.

    Each scene is one file, written atomically, so an interrupted run resumes;
    scenes made from the same input with the same options are kept. Scenes
    whose points cannot be read are reported and skipped.

    Args:
        infos (dict): Index file with the entries of
            :func:`~.infos.add_identities`.
        data_root (str): Folder of the data.
        points_folder (str): Folder of the points below it.
        tag (str): Name of this set of objects. Defaults to ``'complete'``.
        options (CompletionOptions): How objects are gathered.
        workers (int): Number of processes. Defaults to 1: this one.
        overwrite (bool): Whether to regenerate everything. Defaults to
            False.
        progress (bool): Whether to show a progress bar. Defaults to True.

    Returns:
        tuple[dict, Report]: The index file with ``complete_objects`` in each
        frame (``path`` of the scene's file, relative to the folder of the
        points, and number of the ``frame``) and, in each instance,
        ``complete_index`` (-1 for none), ``num_complete_pts`` and
        ``num_own_pts``; and a report.

    Raises:
        ConfigError: If the tag was made with other options.
    """
    infos = _copied(infos)
    keep_manifest(
        store_folder(data_root, tag), asdict(options), options.key(),
        overwrite)
    names = class_names(infos)
    points_folder = osp.join(data_root, points_folder)
    scenes = group_by_scene(infos['data_list'])
    frames = {
        scene: [scene_frame(info, points_folder) for info in members]
        for scene, members in scenes.items()
    }
    paths = {scene: scene_file(data_root, tag, scene) for scene in scenes}
    report = Report()
    jobs = [
        scene for scene in scenes if overwrite
        or not _is_done(paths[scene], input_hash(frames[scene], options))
    ]
    report.counts.update({'scenes': len(scenes), 'new': len(jobs)})
    arguments = {
        scene: (scene, frames[scene], options, names, paths[scene])
        for scene in jobs
    }
    run_scenes(_work, arguments, workers, progress, report,
               'completing scenes')
    for scene in scenes:
        if scene not in report.failed:
            objects = CompleteObjects.load(paths[scene])
            _add_to_infos(scenes[scene], objects, paths[scene], points_folder,
                          report.counts)
    infos['data_list'] = [
        info for info in infos['data_list']
        if info['scene_token'] not in report.failed
    ]
    return infos, report


def run_scenes(work: Callable[..., None], arguments: Dict[str,
                                                          tuple], workers: int,
               progress: bool, report: Report, title: str) -> None:
    """Process scenes in parallel; failures go into the report.

    Args:
        work (Callable): A function of a module.
        arguments (dict[str, tuple]): Its arguments by scene.
        workers (int): Number of processes; 1 is this one.
        progress (bool): Whether to show a progress bar.
        report (Report): Receives the failed scenes.
        title (str): Title of the bar.
    """

    def note(scene: str, call: Callable[[], None]) -> None:
        try:
            call()
        except ConfigError as error:
            report.failed[scene] = str(error)

    bar = tqdm(
        total=len(arguments),
        desc=title,
        unit='scene',
        disable=not progress,
        file=sys.stdout)
    with bar:
        if workers <= 1 or len(arguments) <= 1:
            for scene, given in arguments.items():
                note(scene, lambda given=given: work(*given))
                bar.update()
            return
        # Spawned, since forked processes inherit the locks of threads.
        with ProcessPoolExecutor(
                min(workers, len(arguments)), get_context('spawn')) as pool:
            futures = {
                pool.submit(work, *given): scene
                for scene, given in arguments.items()
            }
            for future in as_completed(futures):
                note(futures[future], future.result)
                bar.update()
    report.failed = dict(sorted(report.failed.items()))


def _add_to_infos(members: List[dict], objects: CompleteObjects, path: str,
                  points_folder: str, counts: Counter) -> None:
    """Add the locations of the objects to each frame, and count them."""
    totals = objects.counts()
    for number, info in enumerate(members):
        folder = osp.dirname(
            osp.join(points_folder, info['lidar_points']['lidar_path']))
        info['complete_objects'] = dict(
            path=osp.relpath(path, folder), frame=number)
        part = slice(objects.own_ptr[number], objects.own_ptr[number + 1])
        for instance, index, own in zip(info['instances'],
                                        objects.own_index[part].tolist(),
                                        objects.own_count[part].tolist()):
            instance['complete_index'] = index
            instance['num_complete_pts'] = int(
                totals[index]) if index >= 0 else 0
            instance['num_own_pts'] = max(own, 0)
            counts[
                'improper boxes'] += own < 0 and instance['instance_id'] != ''
            counts['boxes with another number of points than '
                   'num_lidar_pts'] += (
                       0 <= own != instance.get('num_lidar_pts', own)
                       and instance['bbox_label_3d'] >= 0)
    counts['frames'] += len(members)
    counts['objects'] += len(objects)
    counts['points'] += len(objects.points)
    counts['views'] += len(objects.view_inst)
    for name, status in (('registered', ALIGNED), ('not moved', REJECTED)):
        counts[f'views {name}'] += int((objects.align_status == status).sum())


def label_hidden(infos: Infos) -> Infos:
    """Count completed points as visible, for a teacher that uses them.

    mmdet3d drops boxes without points from the ground truth. If hidden objects
    are inserted, those with completed points belong to it.

    Args:
        infos (dict): Index file of :func:`complete`.

    Returns:
        dict: An index file with at least one point in ``num_lidar_pts`` of
        each completed object, and valid boxes.
    """
    infos = _copied(infos)
    for info in infos['data_list']:
        for instance in info['instances']:
            if instance['num_complete_pts'] > 0:
                seen = max(instance.get('num_lidar_pts', 0), 1)
                instance['num_lidar_pts'] = seen
                if 'bbox_3d_isvalid' in instance:
                    instance['bbox_3d_isvalid'] = True
    return infos


def add_to_database(database: Dict[str, List[dict]],
                    infos: Infos,
                    data_root: str,
                    points_folder: str,
                    tolerance: float = 0.1) -> Dict[str, List[dict]]:
    """Add the locations of complete objects to mmdet3d's object database.

    Args:
        database (dict[str, list[dict]]): ``*_dbinfos_train.pkl`` of
            mmdet3d's ``create_data.py``.
        infos (dict): Index file of :func:`complete` for the same frames.
        data_root (str): Folder of the data.
        points_folder (str): Folder of the points below it.
        tolerance (float): Maximum distance between the centres of the boxes,
            metres. Defaults to 0.1.

    Returns:
        dict[str, list[dict]]: The same with ``complete_objects`` in the
        entries of completed objects: ``path`` (relative to the folder of the
        entry's points), ``frame``, ``index`` and ``box`` (10, ).
    """
    frames = {info['sample_idx']: info for info in infos['data_list']}
    database = copy.deepcopy(database)
    for entry in (x for entries in database.values() for x in entries):
        info = frames.get(entry['image_idx'], dict(instances=[]))
        known = [
            x for x in info['instances'] if x.get('complete_index', -1) >= 0
        ]
        if not known:
            continue
        # The database has centres of the bottom face.
        centre = np.array(entry['box3d_lidar'][:3], np.float64)
        centre[2] += entry['box3d_lidar'][5] / 2
        distance = np.linalg.norm(
            np.array([x['box_lidar'][:3] for x in known]) - centre, axis=1)
        nearest = known[int(distance.argmin())]
        if distance.min() > tolerance:
            continue
        scan = osp.dirname(
            osp.join(points_folder, info['lidar_points']['lidar_path']))
        path = osp.join(scan, info['complete_objects']['path'])
        entry['complete_objects'] = dict(
            path=osp.relpath(path, osp.dirname(entry['path'])),
            frame=info['complete_objects']['frame'],
            index=nearest['complete_index'],
            box=nearest['box_lidar'])
    return database
