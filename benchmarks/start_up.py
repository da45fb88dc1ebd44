#!/usr/bin/env python
"""How long does ``mmkd distill`` take to the first iteration, beside the plain
training of its student by mmdet's own ``tools/train.py``?

    benchmarks/start_up.py --rounds 5

Both take turns, each run in a process of its own, on a small COCO set that is
written beforehand. A hook ends the process when the first iteration begins,
with its batch loaded. So the time covers start, imports, configs, data,
networks and checks. Seconds of processors depend less on a busy machine.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

#: Ends a run at its first iteration.
CLOCK = """
import os, time
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class Clock(Hook):
    priority = 'LOWEST'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        print('CLOCK', time.time(), sum(os.times()[:4]), flush=True)
        os._exit(0)
"""
CONFIG = """
_base_ = 'mmdet::{base}'
data = dict(
    type='CocoDataset',
    data_root={root!r},
    metainfo=dict(classes=('car', 'person')),
    ann_file='train.json',
    data_prefix=dict(img='images/'))
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
model = dict(backbone=dict(init_cfg=None), bbox_head=dict(num_classes=2))
train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    dataset=dict(
        _delete_=True,
        **data,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='Resize', scale={scale}, keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDetInputs')
        ]))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **data,
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale={scale}, keep_ratio=True),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PackDetInputs', meta_keys=meta_keys)
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file={root!r} + '/train.json')
test_evaluator = val_evaluator
custom_imports = dict(imports=['clock'])
custom_hooks = [dict(type='Clock')]
"""


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument(
        '--threads', type=int, default=1, help='OMP_NUM_THREADS of each run')
    parser.add_argument('--images', type=int, default=64)
    parser.add_argument(
        '--scale',
        type=int,
        nargs=2,
        default=(320, 240),
        help='width and height of the images')
    parser.add_argument(
        '--student', default='retinanet/retinanet_r18_fpn_1x_coco.py')
    parser.add_argument(
        '--teacher', default='retinanet/retinanet_r50_fpn_1x_coco.py')
    parser.add_argument('--method', default='pkd')
    parser.add_argument(
        '--out', default=str(ROOT / 'benchmarks/results/start_up.json'))
    return parser.parse_args(argv)


def write_files(folder: str, args: argparse.Namespace) -> None:
    """Write the data set, both configs, the hook and the teacher's weights."""
    import numpy as np
    import torch
    from PIL import Image

    from mmkd.core.network import build_network
    os.makedirs(f'{folder}/images')
    random = np.random.RandomState(0)
    width, height = args.scale
    images, objects = [], []
    for i in range(args.images):
        Image.fromarray(
            random.randint(0, 255, (height, width, 3)).astype(
                np.uint8)).save(f'{folder}/images/{i}.jpg')
        images.append(
            dict(id=i, file_name=f'{i}.jpg', height=height, width=width))
        for label in (1, 2):
            objects.append(
                dict(
                    id=len(objects),
                    image_id=i,
                    category_id=label,
                    bbox=[10 * label, 20, width // 4, height // 4],
                    area=width * height // 16,
                    iscrowd=0))
    with open(f'{folder}/train.json', 'w', encoding='utf-8') as file:
        json.dump(
            dict(
                images=images,
                annotations=objects,
                categories=[dict(id=1, name='car'),
                            dict(id=2, name='person')]), file)
    Path(folder, 'clock.py').write_text(CLOCK)
    for name in ('student', 'teacher'):
        text = CONFIG.format(
            base=getattr(args, name), root=folder, scale=tuple(args.scale))
        if name == 'teacher':
            text = re.sub(r'custom_\w+ = .*\n', '', text)
        Path(folder, f'{name}.py').write_text(text)
    teacher = build_network(f'{folder}/teacher.py', 'the teacher')
    torch.save(
        dict(
            state_dict=teacher.state_dict(),
            meta=dict(dataset_meta=dict(classes=('car', 'person')))),
        f'{folder}/teacher.pth')


def commands(folder: str, args: argparse.Namespace) -> dict:
    """The two commands."""
    import mmdet
    tool = Path(mmdet.__file__).parent / '.mim/tools/train.py'
    student = f'{folder}/student.py'
    work_dir = ['--work-dir', f'{folder}/run']
    return dict(
        mmdet=[str(tool), student, *work_dir],
        mmkd=[
            str(ROOT / 'tools/distill.py'), student, '--teacher',
            f'{folder}/teacher.py', '--teacher-ckpt', f'{folder}/teacher.pth',
            '--method', args.method, *work_dir
        ])


def measure(command: list, folder: str, threads: int) -> tuple:
    """Seconds to the first iteration, and seconds of processors."""
    env = dict(os.environ, PYTHONPATH=folder, OMP_NUM_THREADS=str(threads))
    subprocess.run(['rm', '-rf', f'{folder}/run'], check=True)
    began = time.time()
    done = subprocess.run([sys.executable, '-W', 'ignore', *command],
                          env=env,
                          capture_output=True,
                          text=True)
    found = re.search(r'^CLOCK (\S+) (\S+)$', done.stdout, re.M)
    if not found:
        raise SystemExit(done.stdout[-1000:] + done.stderr[-2000:])
    return float(found[1]) - began, float(found[2])


def summarise(times: dict) -> dict:
    """Medians of each command, and the ratios of both."""

    def median(name: str, column: int) -> float:
        return statistics.median(row[column] for row in times[name])

    result: dict = {
        name:
        dict(
            seconds=round(median(name, 0), 2),
            fastest=round(min(row[0] for row in rows), 2),
            processor_seconds=round(median(name, 1), 2))
        for name, rows in times.items()
    }
    result['ratio'] = round(
        statistics.median(
            ours[0] / theirs[0]
            for ours, theirs in zip(times['mmkd'], times['mmdet'])), 3)
    result['ratio_of_processor_seconds'] = round(
        median('mmkd', 1) / median('mmdet', 1), 3)
    return result


def main(argv=None) -> int:
    """Measure both commands in turn."""
    args = parse_args(argv)
    import torch

    from benchmarks.report import versions, write_result
    times: dict = dict(mmdet=[], mmkd=[])
    with tempfile.TemporaryDirectory() as folder:
        write_files(folder, args)
        for number in range(args.rounds + 1):
            for name, command in commands(folder, args).items():
                row = measure(command, folder, args.threads)
                print(
                    f'{name}: {row[0]:.1f} s, {row[1]:.1f} s of processors',
                    flush=True)
                if number:  # the first fills the caches of files
                    times[name].append(row)
    result = summarise(times)
    print(result)
    write_result(
        args.out,
        dict(
            student=args.student,
            teacher=args.teacher,
            method=args.method,
            scale=list(args.scale),
            rounds=args.rounds,
            threads=args.threads,
            cores=os.cpu_count(),
            device=torch.cuda.get_device_name()
            if torch.cuda.is_available() else 'cpu',
            versions=versions(),
            **result))
    return 0


if __name__ == '__main__':
    sys.exit(main())
