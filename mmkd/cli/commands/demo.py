"""Train a teacher and students on small generated scenes.

One student is trained alone, one with CWD and one with BPKD.

An interrupted demo resumes without repeating finished steps.
"""
import argparse
import glob
import os.path as osp
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

from mmkd.cli.options import add_device, add_file, quietly

CONFIGS = 'mmkd::demo'
TEACHER = f'{CONFIGS}/deeplabv3plus_r18w32-d16_scenes.py'
STUDENT = f'{CONFIGS}/deeplabv3plus_r18w8-d16_scenes.py'
DISTILLED = f'{CONFIGS}/%s_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py'
# Preset of the scenes, iterations of teacher and student.
FULL = dict(preset='small', teacher=350, student=250)
QUICK = dict(preset='quick', teacher=35, student=35)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        '--quick',
        action='store_true',
        help='a short version, too short to '
        'learn much')
    add_file(
        parser,
        '--work-dir',
        help='folder for all runs; default: work_dirs/demo[_quick]')
    add_file(parser, '--data-root', help='existing scenes')
    parser.add_argument(
        '--iters', type=int, help='iterations of each training')
    parser.add_argument('--preset', help='preset of the scenes, such as tiny')
    add_device(parser)


def step(title: str) -> None:
    """Announce the next step."""
    print(f'\n== {title}', flush=True)


def complexity(config: str) -> tuple:
    """Parameters and multiply-adds of a network at 128x256."""
    import logging

    import torch
    from mmengine.analysis import get_model_complexity_info

    from mmkd.core.network import build_network
    network = build_network(config, 'the network').eval()
    # It warns about every operator of negligible cost.
    logging.disable(logging.WARNING)
    found = get_model_complexity_info(
        network,
        input_shape=None,
        inputs=torch.zeros(1, 3, 128, 256),
        show_table=False,
        show_arch=False)
    logging.disable(logging.NOTSET)
    return found['params'], found['flops']


def table(runs: dict, metrics: dict, out: str) -> str:
    """Format the results as text, and write them to a file."""
    from mmkd.utils.table import format_table
    rows = []
    for name, run in runs.items():
        params, flops = complexity(TEACHER if name == 'teacher' else STUDENT)
        rows.append([
            name, f'{params / 1e6:.2f}', f'{flops / 1e9:.2f}',
            f'{metrics[name]["mIoU"]:.2f}', f'{metrics[name]["mBIoU"]:.2f}',
            f'{run.minutes:.1f}'
        ])
    text = format_table([
        'model', 'parameters (M)', 'multiply-adds (G)', 'mIoU', 'boundary IoU',
        'training (min)'
    ], rows)
    with open(out, 'w', encoding='utf-8') as file:
        file.write(text + '\n')
    return text


def figure(runs: dict, root: str, out: str) -> None:
    """Draw images of the test street and learning curves."""
    from mmkd.visualization import draw_comparison, predict
    images = sorted(glob.glob(f'{root}/leftImg8bit/test/*/*_leftImg8bit.png'))
    images = images[::max(1, len(images) // 5)][:5]
    truths = [
        path.replace('leftImg8bit/',
                     'gtFine/').replace('_leftImg8bit.png',
                                        '_gtFine_labelTrainIds.png')
        for path in images
    ]
    shown = {k: runs[k] for k in ('student alone', 'BPKD')}
    predictions = {
        name: predict(run.config, run.checkpoint, images)
        for name, run in shown.items()
    }
    curves = {}
    for name, run in runs.items():
        if name != 'teacher':
            curve = run.curve()
            curves[name] = (curve['iters'], curve['loss'])
    draw_comparison(images, truths, predictions, curves, out)


def export_and_check(run, work: str, data: dict) -> None:
    """Export the distilled student and let mmseg alone evaluate it."""
    import mmseg

    from mmkd.apis import export_student
    weights, config = export_student(run.config, run.checkpoint,
                                     f'{work}/export')
    print(f'exported {weights} and {config}; now mmseg alone:')
    options = [f'{k}={v}' for k, v in data.items()]
    command = [
        sys.executable, '-W', 'ignore',
        osp.join(osp.dirname(mmseg.__file__), '.mim/tools/test.py'), config,
        weights, '--work-dir', f'{work}/mmseg', '--cfg-options', *options
    ]
    with open(f'{work}/mmseg.log', 'w', encoding='utf-8') as log:
        subprocess.run(
            command, check=True, stdout=log, stderr=subprocess.STDOUT)
    with open(f'{work}/mmseg.log', encoding='utf-8') as log:
        last = [line for line in log if 'mIoU:' in line][-1]
    print(f'mmseg says: {last[last.index("aAcc"):].strip()}')


def run(args: argparse.Namespace) -> None:
    """Run the demo."""
    with quietly(args), warnings.catch_warnings():
        # Warnings of the libraries about themselves.
        warnings.simplefilter('ignore')
        results = _demo(args)
    if args.quiet:
        print(results)


def _demo(args: argparse.Namespace) -> str:
    plan = dict(QUICK if args.quick else FULL)
    if args.iters:
        plan.update(teacher=args.iters, student=args.iters)
    if args.preset:
        plan['preset'] = args.preset
    work = args.work_dir or ('work_dirs/demo_quick'
                             if args.quick else 'work_dirs/demo')
    root = args.data_root or f'data/scenes/{plan["preset"]}'
    began = time.time()

    step('1/5 driving scenes')
    if not args.data_root:
        from mmkd.cli import call
        call([
            'scenes', '--preset', plan['preset'], '--out', root, '--formats',
            'cityscapes'
        ])
    from mmkd.apis import export_student
    from mmkd.utils.runs import Run
    data = {
        f'{split}_dataloader.dataset.data_root': root
        for split in ('train', 'val', 'test')
    }
    runs = {}

    def add(name: str, config: str, iters: int, threads=None, **options):
        folder = osp.join(work, name.lower().replace(' ', '_'))
        runs[name] = Run(name, config, folder, iters, {
            **data,
            **options
        }, threads)
        return runs[name]

    step('2/5 the teacher')
    metrics = {
        'teacher': add('teacher', TEACHER, plan['teacher']).train().test()
    }
    ckpt = f'{work}/teacher/export/student.pth'
    if not osp.isfile(ckpt):
        export_student(TEACHER, runs['teacher'].checkpoint, osp.dirname(ckpt))
    step('3/5 the student: alone, with CWD, with BPKD')
    # Networks this small hardly benefit from a second thread; two in
    # parallel, with one thread each, take half the time.
    students = [add('student alone', STUDENT, plan['student'], threads=1)]
    students += [
        add(name,
            DISTILLED % name.lower(),
            plan['student'],
            threads=1,
            **{'model.teachers.teacher.ckpt': ckpt})
        for name in ('CWD', 'BPKD')
    ]
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda run: run.train().test(), students)
        metrics.update(zip((run.name for run in students), found))

    step('4/5 the results, on unseen streets')
    results = table(runs, metrics, f'{work}/results.txt')
    print(results)
    figure(runs, root, f'{work}/comparison.png')
    step('5/5 the student without mmkd')
    export_and_check(runs['BPKD'], work, {
        k: v
        for k, v in data.items() if k.startswith('test')
    })
    print(f'\nscenes:      {root} (contact_sheet.png shows them)\n'
          f'runs:        {work}\n'
          f'table:       {work}/results.txt\n'
          f'figure:      {work}/comparison.png\n'
          f'student:     {work}/export\n'
          f'{(time.time() - began) / 60:.1f} minutes')
    return results
