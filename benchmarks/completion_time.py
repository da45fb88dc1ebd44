#!/usr/bin/env python
"""The time to complete the objects of a scene.

    benchmarks/completion_time.py --rounds 3

Measures each strategy on a synthetic scene of nuScenes' size (40 key frames
of 30000 points, 60 objects), read from files. Each strategy runs in its own
process, to measure its memory. The target is 20 s on two cores.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# One thread, before numpy is imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

TARGET = 20


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--frames', type=int, default=40)
    parser.add_argument('--points', type=int, default=30000)
    parser.add_argument('--objects', type=int, default=60)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument(
        '--strategies', nargs='+', default=['published', 'concat', 'icp'])
    parser.add_argument('--one', help=argparse.SUPPRESS)
    parser.add_argument('--folder', help=argparse.SUPPRESS)
    parser.add_argument(
        '--out', default=str(ROOT / 'benchmarks/results/completion_time.json'))
    return parser.parse_args(argv)


def make_scene(args: argparse.Namespace, folder: str) -> None:
    """Write a scene and its index file."""
    from mmkd.methods.xray.data.infos import save_infos
    from mmkd.testing.sequences import make_sequence, write_sequences
    sequence = make_sequence(
        's', args.frames, args.objects, background=1, density=4.)
    mean = statistics.mean(map(len, sequence.clouds))
    sequence = make_sequence(
        's',
        args.frames,
        args.objects,
        background=max(args.points - int(mean), 1),
        density=4.)
    save_infos(write_sequences(folder, dict(s=sequence)), f'{folder}/i.pkl')


def measure(strategy: str, folder: str) -> dict:
    """Complete the scene once, in this process."""
    from benchmarks.memory import forget_peak, peak, resident
    from mmkd.methods.xray.data import infos
    from mmkd.methods.xray.data.completion import (PUBLISHED,
                                                   CompletionOptions,
                                                   complete_scene)
    content = infos.load_infos(f'{folder}/i.pkl')
    frames = [
        infos.scene_frame(x, f'{folder}/points') for x in content['data_list']
    ]
    options = CompletionOptions(
        **(PUBLISHED if strategy == 'published' else dict(strategy=strategy)))
    forget_peak()
    before = resident()
    wall, cpu = time.perf_counter(), time.process_time()
    objects = complete_scene('s', frames, options)
    objects.save(f'{folder}/{strategy}.npz')
    return dict(
        seconds=time.perf_counter() - wall,
        cpu_seconds=time.process_time() - cpu,
        more_memory_mb=(peak() - before) / 2**20,
        objects=len(objects),
        points=len(objects.points),
        views=len(objects.view_inst))


def main(argv=None) -> None:
    """Measure, print and write."""
    args = parse_args(argv)
    if args.one:
        print(json.dumps(measure(args.one, args.folder)))
        return
    from benchmarks.report import versions, write_result
    from mmkd.utils.table import format_table
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        make_scene(args, folder)
        for strategy in args.strategies:
            runs = [
                json.loads(
                    subprocess.run([
                        sys.executable, __file__, '--one', strategy,
                        '--folder', folder
                    ],
                                   check=True,
                                   capture_output=True,
                                   text=True).stdout.splitlines()[-1])
                for _ in range(args.rounds)
            ]
            found[strategy] = {
                key: round(statistics.median(run[key] for run in runs), 2)
                for key in runs[0]
            }
    print(
        format_table(['strategy', *next(iter(found.values()))],
                     [[name, *map(str, row.values())]
                      for name, row in found.items()]))
    write_result(
        args.out,
        dict(
            frames=args.frames,
            points_of_a_frame=args.points,
            objects=args.objects,
            rounds=args.rounds,
            target_seconds=TARGET,
            strategies=found,
            cores=os.cpu_count(),
            # Includes other load on the machine; CPU seconds do not.
            load_average=round(os.getloadavg()[1], 1),
            versions=versions(),
            date=time.strftime('%Y-%m-%d')))


if __name__ == '__main__':
    main()
