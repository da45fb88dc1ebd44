#!/usr/bin/env python
"""How long does it take to read a checkpoint, beside ``torch.load``?

    benchmarks/read_checkpoint.py --mib 500 --rounds 7

Each reading is in a process of its own, whose memory is fresh, and from a
file that the system has in its cache; both readers take turns.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
READERS = ('mmkd', 'torch')


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--mib', type=int, default=500)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument(
        '--older', action='store_true', help="torch's format before 1.6")
    parser.add_argument('--one', choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument('--file', help=argparse.SUPPRESS)
    parser.add_argument(
        '--out', default=str(ROOT / 'benchmarks/results/read_checkpoint.json'))
    return parser.parse_args(argv)


def read_once(reader: str, path: str) -> None:
    """Print the seconds of one reading, those of processors, and MiB."""
    import torch

    from mmkd.utils.checkpoint import read_file

    def memory() -> float:
        # Not `ru_maxrss`, which starts at that of the process before it.
        with open('/proc/self/status', encoding='ascii') as file:
            return next(
                int(line.split()[1]) / 1024 for line in file
                if line.startswith('VmHWM'))

    def read(file: str) -> None:
        if reader == 'mmkd':
            read_file(file)
        else:
            torch.load(file, map_location='cpu', weights_only=True)

    read(f'{path}.small')  # imports
    before, began = memory(), (time.perf_counter(), time.process_time())
    read(path)
    print(time.perf_counter() - began[0],
          time.process_time() - began[1],
          memory() - before)


def main(argv=None) -> int:
    """Write a checkpoint, and read it."""
    args = parse_args(argv)
    if args.one:
        read_once(args.one, args.file)
        return 0
    import torch

    from benchmarks.report import versions, write_result
    found = {reader: [] for reader in READERS}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'a.pth')
        for name, count in ((path, args.mib), (f'{path}.small', 1)):
            torch.save(
                dict(
                    state_dict={
                        f'layer{i}.weight': torch.randn(512, 512)
                        for i in range(count)
                    }),
                name,
                _use_new_zipfile_serialization=not args.older)
        for _ in range(args.rounds):
            for reader in READERS:
                done = subprocess.run([
                    sys.executable, '-W', 'ignore', __file__, '--one', reader,
                    '--file', path
                ],
                                      capture_output=True,
                                      text=True,
                                      check=True)
                found[reader].append(
                    tuple(map(float,
                              done.stdout.split()[-3:])))
    result = {
        reader:
        dict(
            seconds=round(statistics.median(x[0] for x in times), 3),
            fastest=round(min(x[0] for x in times), 3),
            processor_seconds=round(statistics.median(x[1] for x in times), 3),
            mib_of_memory=round(max(x[2] for x in times)))
        for reader, times in found.items()
    }
    print(result)
    write_result(
        args.out,
        dict(
            mib=args.mib,
            rounds=args.rounds,
            older=args.older,
            cores=os.cpu_count(),
            versions=versions(),
            **result))
    return 0


if __name__ == '__main__':
    sys.exit(main())
