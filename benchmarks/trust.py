#!/usr/bin/env python
"""Everything that docs/reliability.md promises, tried: `make trust`.

    benchmarks/trust.py                        # hours; stores the tables
    benchmarks/trust.py --short                # minutes; stores nothing
    benchmarks/trust.py --only pickles resume

Runs the scripts benchmarks/trust_*.py one after another. Each tries promises
of one kind, case by case, and writes benchmarks/results/trust_*.json: how
many cases were tried and how many kept the promise, what was measured, and
the cases. The status is 1 if a case did not keep it.

What the scripts share is here as well: :func:`make_parser` and
:func:`finish`.
"""
import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]


def make_parser(name: str, doc: str) -> argparse.ArgumentParser:
    """The options of a script.

    Args:
        name (str): What it tries: that of the file, without ``trust_``.
        doc (str): Its docstring.

    Returns:
        argparse.ArgumentParser: With ``--short`` and ``--out``.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        '--short',
        action='store_true',
        help='few cases, in at most a minute; stored with --out only')
    parser.add_argument(
        '--out',
        help=f'by default benchmarks/results/trust_{name}.json, for the long '
        'form')
    parser.set_defaults(name=name, began=time.time())
    return parser


def finish(args: argparse.Namespace, cases: Sequence[Dict[str, Any]],
           **figures: Any) -> int:
    """Say and store what came out.

    Args:
        args (argparse.Namespace): From :func:`make_parser`.
        cases (Sequence[dict]): ``case``, a name; ``passed``, whether it kept
            the promise; and whatever tells more of it, as plain data.
        figures: What belongs to all of them, as plain data.

    Returns:
        int: The status of the script: 0 if every case passed.
    """
    from entry import versions, write_result
    minutes = (time.time() - args.began) / 60
    failed = [case for case in cases if not case['passed']]
    for case in failed:
        print(f'FAILED {case}')
    out = args.out
    if out is None and not args.short:
        out = str(ROOT / f'benchmarks/results/trust_{args.name}.json')
    if out is not None:
        write_result(
            out,
            dict(
                tried=len(cases),
                passed=len(cases) - len(failed),
                short=args.short,
                minutes=round(minutes, 1),
                machine=platform.machine(),
                python=platform.python_version(),
                versions=versions(),
                **figures,
                cases=list(cases)))
    print(f'{args.name}: {len(cases)} tried, {len(cases) - len(failed)} '
          f'passed, {minutes:.1f} min')
    return 1 if failed or not cases else 0


def main(argv: Optional[List[str]] = None) -> int:
    """Run the scripts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    scripts = {
        path.stem[len('trust_'):]: path
        for path in sorted((ROOT / 'benchmarks').glob('trust_*.py'))
    }
    parser.add_argument('--short', action='store_true', help='in minutes')
    parser.add_argument(
        '--only',
        nargs='+',
        choices=list(scripts),
        metavar='NAME',
        help=f'of {", ".join(scripts)}')
    args = parser.parse_args(argv)
    env = dict(os.environ)
    # The same sums on every machine.
    env.setdefault('OMP_NUM_THREADS', '1')
    failed = []
    for name in args.only or scripts:
        print(f'--- {name}', flush=True)
        command = [sys.executable, '-W', 'ignore', str(scripts[name])]
        if args.short:
            command.append('--short')
        if subprocess.run(command, env=env, cwd=ROOT).returncode:
            failed.append(name)
    print(f'not as promised: {", ".join(failed)}'
          if failed else 'all as promised')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
