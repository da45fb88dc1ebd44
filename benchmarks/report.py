"""Result files of benchmarks, with the versions of the packages."""
import json
import os
import os.path as osp
from typing import Any, Dict


def versions() -> Dict[str, str]:
    """Versions of the packages that the numbers depend on."""
    from importlib.metadata import version

    from mmkd import __version__
    packages = ('torch', 'mmengine', 'mmcv', 'mmsegmentation', 'mmdet',
                'mmdet3d', 'open3d')
    return dict(mmkd=__version__, **{name: version(name) for name in packages})


def write_result(path: str, result: Dict[str, Any]) -> None:
    """Write a result as JSON and print its path."""
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(result, file, indent=2)
        file.write('\n')
    print(f'written to {path}')
