#!/usr/bin/env python
"""Repeat an iteration whose loss was not finite."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmkd import cli  # noqa: E402

if __name__ == '__main__':
    cli.run(cli.replay_step)
