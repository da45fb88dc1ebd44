"""Result files of benchmarks, with the versions of the packages."""
import hashlib
import json
import os
import os.path as osp
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional

ROOT = Path(__file__).resolve().parents[1]


def checksum(root: str) -> str:
    """SHA-256 of the paths and contents of all files in a folder.

    Generated scenes list the checksums of their files, so that this list is
    read in place of them.
    """
    listed = Path(root) / 'scenes.json'
    if listed.is_file():
        return hashlib.sha256(listed.read_bytes()).hexdigest()
    found = hashlib.sha256()
    for path in sorted(Path(root).rglob('*')):
        if path.is_file():
            found.update(path.relative_to(root).as_posix().encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def scenes_version(root: str) -> Optional[int]:
    """The version of generated scenes; None for other data."""
    listed = Path(root) / 'scenes.json'
    if not listed.is_file():
        return None
    return json.loads(listed.read_text(encoding='utf-8'))['version']


def code_version() -> str:
    """SHA-256 of the code and the configs that decide the numbers, with the
    changes that are not committed."""
    found = hashlib.sha256()
    for folder in ('mmkd', 'configs'):
        for path in sorted((ROOT / folder).rglob('*.py')):
            found.update(path.relative_to(ROOT).as_posix().encode())
            found.update(path.read_bytes())
    return found.hexdigest()


def record_code(work_dir: str, done: bool) -> None:
    """Note in a run's folder the code that trains it.

    Args:
        work_dir (str): The folder.
        done (bool): Whether the training is finished, so that this code has
            no part in it.
    """
    path, version = Path(work_dir) / 'code.json', code_version()
    found = recorded_code(work_dir)
    if not done and version not in found:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([*found, version]))


def recorded_code(work_dir: str) -> List[str]:
    """The versions of the code that trained a run; none if not recorded."""
    path = Path(work_dir) / 'code.json'
    return json.loads(path.read_text()) if path.is_file() else []


def commit() -> Optional[str]:
    """The version of the code as ``git describe`` has it, None without git."""
    found = subprocess.run(['git', 'describe', '--always', '--dirty'],
                           cwd=Path(__file__).parent,
                           capture_output=True,
                           text=True)
    return found.stdout.strip() or None


def versions() -> Dict[str, Optional[str]]:
    """Versions of the code and the packages that the numbers depend on."""
    from importlib.metadata import version

    from mmkd import __version__
    packages = ('torch', 'mmengine', 'mmcv', 'mmsegmentation', 'mmdet',
                'mmdet3d', 'open3d')
    return dict(
        mmkd=__version__,
        commit=commit(),
        **{name: version(name)
           for name in packages})


def write_result(path: str, result: Dict[str, Any]) -> None:
    """Write a result as JSON and print its path."""
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(result, file, indent=2)
        file.write('\n')
    print(f'written to {path}')
