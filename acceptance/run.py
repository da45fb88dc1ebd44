#!/usr/bin/env python
"""Test every promise of docs/reliability.md: `make trust`.

    acceptance/run.py                        # hours; stores the results
    acceptance/run.py --short                # minutes; stores nothing
    acceptance/run.py --only pickles resume

Runs the other scripts of this folder in turn. Each tests promises of one kind,
case by case, and writes acceptance/results/*.json with the numbers of tried
and passed cases, the measurements, and the cases. The exit code is 1 if a case
fails.
"""
import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import List, Optional

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ('configs', 'pickles', 'processes', 'resume', 'soak')


def main(argv: Optional[List[str]] = None) -> int:
    """Run the scripts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--short', action='store_true', help='takes minutes')
    parser.add_argument(
        '--only',
        nargs='+',
        choices=SCRIPTS,
        metavar='NAME',
        help=f'of {", ".join(SCRIPTS)}')
    args = parser.parse_args(argv)
    env = dict(os.environ)
    # Floating-point sums that do not depend on the number of cores.
    env.setdefault('OMP_NUM_THREADS', '1')
    failed = []
    for name in args.only or SCRIPTS:
        print(f'--- {name}', flush=True)
        command = [
            sys.executable, '-W', 'ignore',
            str(ROOT / f'acceptance/{name}.py')
        ]
        if args.short:
            command.append('--short')
        if subprocess.run(command, env=env, cwd=ROOT).returncode:
            failed.append(name)
    print(f'not as promised: {", ".join(failed)}'
          if failed else 'all as promised')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
