"""Common options and results of the acceptance tests."""
import argparse
import platform
import time
from pathlib import Path
from typing import Any, Dict, Sequence

from benchmarks.report import versions, write_result

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'acceptance/results'


def make_parser(name: str, doc: str) -> argparse.ArgumentParser:
    """Make the command line of a script.

    Args:
        name (str): Name of its file.
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
        help=f'default: acceptance/results/{name}.json, for the long form')
    parser.set_defaults(name=name, began=time.time())
    return parser


def finish(args: argparse.Namespace, cases: Sequence[Dict[str, Any]],
           **figures: Any) -> int:
    """Print and store the result of a script.

    Args:
        args (argparse.Namespace): From :func:`make_parser`.
        cases (Sequence[dict]): ``case``, a name; ``passed``; and further
            details, as plain data.
        figures: Results over all cases, as plain data.

    Returns:
        int: The status of the script: 0 if every case passed.
    """
    minutes = (time.time() - args.began) / 60
    failed = [case for case in cases if not case['passed']]
    for case in failed:
        print(f'FAILED {case}')
    out = args.out
    if out is None and not args.short:
        out = str(RESULTS / f'{args.name}.json')
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
