"""Whole clouds of object-complete frames."""
import os.path as osp
from collections import Counter
from dataclasses import asdict
from typing import Dict, List, Tuple

from mmkd.errors import ConfigError
from mmkd.methods.xray.data.build import (Report, keep_manifest, run_scenes,
                                          safe_name, store_folder)
from mmkd.methods.xray.data.completion import CompleteObjects, read_points
from mmkd.methods.xray.data.infos import Infos, group_by_scene
from mmkd.methods.xray.data.placement import Placement, complete_cloud
from mmkd.utils.files import read_json, write_bytes, write_json


def _frame_file(data_root: str, tag: str, info: dict) -> str:
    """File of a whole cloud, with the name of the ordinary one."""
    return osp.join(
        store_folder(data_root, tag), 'frames', safe_name(info['scene_token']),
        osp.basename(info['lidar_points']['lidar_path']))


def _work(scene: str, members: List[dict], points_folder: str,
          paths: Dict[str, str], placement: Placement, marker: str,
          key: str) -> None:
    """Write the clouds of a scene, then a file that marks it as complete."""
    objects = None
    for info in members:
        lidar = info['lidar_points']
        source = osp.join(points_folder, lidar['lidar_path'])
        if lidar['lidar_path'] not in paths:
            continue
        store = info['complete_objects']
        if objects is None:
            objects = CompleteObjects.load(
                osp.join(osp.dirname(source), store['path']))
        cloud = complete_cloud(
            read_points(source, int(lidar['num_pts_feats'])), objects,
            info['instances'], store['frame'], placement)
        write_bytes(paths[lidar['lidar_path']], cloud.tobytes())
    write_json(marker, dict(key=key))


def write_frames(infos: Infos,
                 data_root: str,
                 points_folder: str,
                 tag: str = 'complete',
                 placement: Placement = Placement(),
                 workers: int = 1,
                 overwrite: bool = False,
                 progress: bool = True) -> Tuple[Infos, Report]:
    """Write whole clouds, for pipelines without this package.

    Files are written atomically; scenes written from the same objects with
    the same options are kept. Frames in which no object is completed keep
    their ordinary file.

    Args:
        infos (dict): Index file of :func:`~.build.complete`.
        data_root (str): Folder of the data.
        points_folder (str): Folder of the points below it.
        tag (str): Name of the set of objects. Defaults to ``'complete'``.
        placement (Placement): Options for placing objects in the frames.
        workers (int): Number of processes. Defaults to 1: this one.
        overwrite (bool): Whether to regenerate everything. Defaults to
            False.
        progress (bool): Whether to show a progress bar. Defaults to True.

    Returns:
        tuple[dict, Report]: The index file with ``lidar_path`` of the
        complete clouds, relative to the folder of the points, and without
        ``complete_objects``; and a report.

    Raises:
        ConfigError: If the clouds of this tag were made with other options,
            or two frames of a scene have files with the same name.
    """
    folder = osp.join(store_folder(data_root, tag), 'frames')
    keep_manifest(folder, asdict(placement), placement.key(), overwrite)
    points_folder = osp.join(data_root, points_folder)
    scenes = group_by_scene(infos['data_list'])
    report = Report(Counter(scenes=len(scenes), new=0, frames=0))
    jobs: Dict[str, tuple] = {}
    clouds: Dict[str, Dict[str, str]] = {}
    for scene, members in scenes.items():
        paths = {
            info['lidar_points']['lidar_path']:
            _frame_file(data_root, tag, info)
            for info in members
            if any(x['complete_index'] >= 0
                   and x['num_own_pts'] >= placement.min_visible_points
                   for x in info['instances'])
        }
        if len(set(paths.values())) < len(paths):
            raise ConfigError(f'scene {scene} has frames whose files have '
                              'one name; whole clouds cannot be told apart')
        clouds[scene] = paths
        report.counts['frames'] += len(paths)
        key = _scene_key(members, points_folder, placement)
        marker = osp.join(folder, safe_name(scene), 'done.json')
        if overwrite or not _is_written(marker, key, paths):
            jobs[scene] = (scene, members, points_folder, paths, placement,
                           marker, key)
    report.counts['new'] = len(jobs)
    run_scenes(_work, jobs, workers, progress, report, 'writing frames')
    found = []
    for info in infos['data_list']:
        if info['scene_token'] in report.failed:
            continue
        lidar = info['lidar_points']
        path = clouds[info['scene_token']].get(lidar['lidar_path'])
        info = {k: v for k, v in info.items() if k != 'complete_objects'}
        if path is not None:
            info['lidar_points'] = dict(
                lidar, lidar_path=osp.relpath(path, points_folder))
        found.append(info)
    return dict(infos, data_list=found), report


def _scene_key(members: List[dict], points_folder: str,
               placement: Placement) -> str:
    """Key that identifies the input of a scene's clouds."""
    info = members[0]
    objects = CompleteObjects.load(
        osp.join(
            osp.dirname(
                osp.join(points_folder, info['lidar_points']['lidar_path'])),
            info['complete_objects']['path']))
    return f'{objects.hash}-{placement.key()}'


def _is_written(marker: str, key: str, paths: Dict[str, str]) -> bool:
    return (osp.isfile(marker) and read_json(marker).get('key') == key
            and all(map(osp.isfile, paths.values())))
