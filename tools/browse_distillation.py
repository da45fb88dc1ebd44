#!/usr/bin/env python
"""Draw the visuals of a config's methods, without training."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmkd import cli  # noqa: E402

if __name__ == '__main__':
    cli.run(cli.browse_distillation)
