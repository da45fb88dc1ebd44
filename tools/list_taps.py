#!/usr/bin/env python
"""List the tensors that can be tapped in the networks of a config."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmkd import cli  # noqa: E402

if __name__ == '__main__':
    cli.run(cli.list_taps)
