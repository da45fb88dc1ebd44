#!/usr/bin/env python
"""``mmkd inherit``, under its OpenMMLab name."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmkd.cli import main  # noqa: E402

if __name__ == '__main__':
    main(['inherit', *sys.argv[1:]])
