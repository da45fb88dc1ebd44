#!/usr/bin/env python
"""Draw what the methods of a distillation look at, without training."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmkd import cli  # noqa: E402

if __name__ == '__main__':
    cli.run(cli.browse_distillation)
