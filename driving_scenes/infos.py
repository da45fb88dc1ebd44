"""Index files for mmdet3d, written by its own converters.

The converters of mmdet3d 1.4 expect nuScenes in ``data/nuscenes`` of the
current folder, so they run in a separate process and folder.
"""
import importlib.util
import json
import os
import os.path as osp
import subprocess
import sys
import tempfile
from typing import List

from .errors import ScenesError
from .writers.nuscenes import TEST_AS_VAL

_NUSCENES = '''
import json, os, sys
from tools.dataset_converters.nuscenes_converter import create_nuscenes_infos
from tools.dataset_converters.update_infos_to_v2 import update_nuscenes_infos
for folder, version, splits in json.loads(sys.argv[1]):
    os.chdir(folder)
    create_nuscenes_infos('./data/nuscenes', 'nuscenes', version,
                          int(sys.argv[2]))
    for split in splits:
        update_nuscenes_infos(f'./data/nuscenes/nuscenes_infos_{split}.pkl',
                              'out')
'''


def _run(code: str, *arguments: str) -> None:
    """Run code that imports mmdet3d's tools.

    Raises:
        ScenesError: If it fails, with the end of its output.
    """
    found = importlib.util.find_spec('mmdet3d')
    if found is None or not found.submodule_search_locations:
        raise ScenesError('the index files need mmdet3d: pip install mmdet3d')
    tools = osp.join(list(found.submodule_search_locations)[0], '.mim')
    done = subprocess.run([sys.executable, '-c', code, *arguments],
                          env=dict(os.environ, PYTHONPATH=tools),
                          stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode:
        raise ScenesError("mmdet3d's converter failed:\n" +
                          '\n'.join(done.stdout.splitlines()[-12:]))


def _lay_out(folder: str, root: str, tables: str) -> None:
    """Create the folder layout that the converter expects, with links."""
    os.makedirs(osp.join(folder, 'data', 'nuscenes'))
    os.makedirs(osp.join(folder, 'out'))
    places = [osp.join(root, x) for x in ('samples', 'sweeps', 'maps')]
    for place in (*places, tables):
        # Tables in a separate folder refer to files as '../samples/...'.
        for data in ('data/nuscenes', 'data'):
            os.symlink(
                osp.abspath(place), osp.join(folder, data,
                                             osp.basename(place)))


def make_nuscenes_infos(root: str, max_sweeps: int = 10) -> List[str]:
    """Write ``nuscenes_infos_{train,val,test}.pkl`` with mmdet3d's functions.

    Files that are newer than the tables are kept. For real nuScenes, only
    those of train and val are written; the test split of the driving scenes
    has annotations, which its index file includes.

    Args:
        root (str): Folder with ``v1.0-mini`` or ``v1.0-trainval``.
        max_sweeps (int): Number of earlier sweeps listed for a key frame.
            Defaults to 10.

    Returns:
        list[str]: Paths of the files.

    Raises:
        ScenesError: If there is no nuScenes, or mmdet3d fails.
    """
    versions = [
        name for name in ('v1.0-trainval', 'v1.0-mini')
        if osp.isfile(osp.join(root, name, 'sample.json'))
    ]
    if not versions:
        raise ScenesError(f'{root} has neither v1.0-mini nor v1.0-trainval')
    # Folder of the tables -> name of a split there -> its name here.
    sources = {osp.join(root, versions[0]): dict(train='train', val='val')}
    test = osp.join(root, *TEST_AS_VAL)
    if osp.isdir(test):
        sources[test] = dict(val='test')
    made = [
        osp.join(root, f'nuscenes_infos_{split}.pkl')
        for splits in sources.values() for split in splits.values()
    ]
    if _younger(made, [osp.join(x, 'sample.json') for x in sources]):
        return made
    with tempfile.TemporaryDirectory(prefix='.infos_', dir=root) as folder:
        jobs = []
        for number, (tables, splits) in enumerate(sources.items()):
            own = osp.join(osp.abspath(folder), str(number))
            _lay_out(own, root, tables)
            jobs.append((own, osp.basename(tables), list(splits)))
        _run(_NUSCENES, json.dumps(jobs), str(max_sweeps))
        found = [
            osp.join(own, 'out', f'nuscenes_infos_{split}.pkl')
            for own, _, splits in jobs for split in splits
        ]
        for theirs, ours in zip(found, made):
            os.replace(theirs, ours)
    return made


def _younger(files: List[str], sources: List[str]) -> bool:
    """Whether all files exist and are newer than their sources."""
    return all(map(osp.isfile, files)) and min(map(
        osp.getmtime, files)) >= max(map(osp.getmtime, sources))
