"""Version checks."""
from importlib import metadata
from typing import Dict, Tuple

from packaging.version import Version

# package -> (lowest version, first version that is too new)
RANGES: Dict[str, Tuple[str, str]] = {
    # A crafted checkpoint corrupts memory before 2.10 (GHSA-63cw-57p8-fm3p).
    'torch': ('2.10.0', '3.0.0'),
    'mmengine': ('0.10.0', '1.0.0'),
    'mmcv': ('2.0.0', '2.2.0'),
    'mmdet': ('3.2.0', '3.4.0'),
    'mmsegmentation': ('1.2.0', '1.3.0'),
    'mmdet3d': ('1.4.0', '1.5.0'),
}
REQUIRED = ('torch', 'mmengine', 'mmcv')


def check_versions() -> None:
    """Check that the versions of the installed packages are compatible.

    Reads only package metadata; nothing is imported.

    Raises:
        ImportError: If a required package is missing, or if a version is
            outside its range.
    """
    for name, (low, high) in RANGES.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name in REQUIRED:
                raise ImportError(
                    f'mmkd needs {name} >= {low}, < {high}, which is not '
                    'installed; README.md shows how to install it') from None
            continue
        if not Version(low) <= Version(
                Version(version).base_version) < Version(high):
            raise ImportError(f'mmkd needs {name} >= {low}, < {high}, but '
                              f'{version} is installed')
