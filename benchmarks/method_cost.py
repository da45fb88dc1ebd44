#!/usr/bin/env python
"""Time and memory of a step of every method, beside the student's own.

    benchmarks/method_cost.py

On the pairs of the embedded scenes, as `mmkd advise` measures them: default
options, random weights, no training. The result has a part a pair.
"""
import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.report import versions, write_result  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

PAIRS = {
    'DeepLabV3+':
    ('deeplabv3plus_r18w8-d16_scenes', 'deeplabv3plus_r18w32-d16_scenes'),
    'SegFormer': ('segformer_mit-w16_scenes', 'segformer_mit-w32_scenes'),
    'RetinaNet': ('retinanet_r18w8_fpn_scenes', 'retinanet_r18w32_fpn_scenes'),
    'GFL': ('gfl_r18w8_fpn_scenes', 'gfl_r18w32_fpn_scenes'),
    'Faster R-CNN':
    ('faster-rcnn_r18w8_fpn_scenes', 'faster-rcnn_r18w32_fpn_scenes'),
    'PointPillars':
    ('pointpillars_w8_scenes-kitti', 'pointpillars_w32_scenes-kitti'),
    'CenterPoint': ('centerpoint-pillar_w8_scenes-nuscenes',
                    'centerpoint-pillar_w32_scenes-nuscenes'),
}


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        '--pair', nargs='+', choices=list(PAIRS), default=list(PAIRS))
    parser.add_argument('--batches', type=int, default=2)
    parser.add_argument('--out', default='benchmarks/results')
    return parser.parse_args(argv)


def measure(pair: str, batches: int) -> list:
    """What `mmkd advise` says of the methods that serve a pair."""
    from mmkd.cli import call
    student, teacher = (f'configs/demo/{name}.py' for name in PAIRS[pair])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'advice.json')
        call([
            'advise', student, '--teacher', teacher, '--teacher-ckpt',
            'random', '--batches',
            str(batches), '--json',
            str(file)
        ])
        found = json.loads(file.read_text())
    return [x for x in found['methods'] if not x['reason']]


def main(argv=None) -> None:
    """Run the benchmark."""
    args = parse_args(argv)
    out = Path(args.out).absolute()
    os.chdir(ROOT)
    pairs = {pair: measure(pair, args.batches) for pair in args.pair}
    write_result(
        str(out / 'method_cost.json'),
        dict(
            command=shlex.join(
                ['benchmarks/method_cost.py', '--pair', *args.pair]),
            batches=args.batches,
            pairs=pairs,
            versions=versions(),
            date=time.strftime('%Y-%m-%d')))


if __name__ == '__main__':
    run(main)
