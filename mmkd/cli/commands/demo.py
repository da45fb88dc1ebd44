"""Distil on small generated scenes, and report what it gained.

The quick demo takes a teacher that comes with mmkd; the full one trains it.
Each trains a student alone and distilled ones, and ends with a report.

An interrupted demo resumes without repeating finished steps.
"""
import argparse
import os.path as osp
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmkd.cli.options import add_device, add_file, quietly
from mmkd.errors import UsageError

CONFIGS = 'mmkd::demo'
TEACHER = f'{CONFIGS}/deeplabv3plus_r18w32-d16_scenes.py'
STUDENT = f'{CONFIGS}/deeplabv3plus_r18w8-d16_scenes.py'
DISTILLED = f'{CONFIGS}/%s_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py'
# Preset of the scenes, iterations of teacher and student, configs of methods.
FULL = dict(
    preset='small',
    teacher=350,
    student=250,
    methods=dict(CWD=DISTILLED % 'cwd', BPKD=DISTILLED % 'bpkd'))
QUICK = dict(
    preset='quick',
    teacher=0,
    student=400,
    methods={
        'MGD and LogitsKD':
        f'{CONFIGS}/mgd_deeplabv3plus-r18w16_deeplabv3plus-r18w8_scenes.py'
    })


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        '--quick',
        action='store_true',
        help='minutes on two idle cores: fewer scenes, one method, '
        'the teacher that comes with mmkd')
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
    if args.iters is not None:
        if args.iters < 2:
            raise UsageError('--iters is at least 2')
        plan.update(teacher=plan['teacher'] and args.iters, student=args.iters)
    if args.preset:
        plan['preset'] = args.preset
    work = args.work_dir or ('work_dirs/demo_quick'
                             if args.quick else 'work_dirs/demo')
    root = args.data_root or f'data/scenes/{plan["preset"]}'
    began = time.time()

    step('driving scenes')
    if not args.data_root:
        from mmkd.cli import call
        call([
            'scenes', '--preset', plan['preset'], '--out', root, '--formats',
            'cityscapes'
        ])
    data = {
        f'{split}_dataloader.dataset.data_root': root
        for split in ('train', 'val', 'test')
    }
    students = _train(plan, work, data)
    step('the report, on unseen streets')
    from mmkd import report
    result = report.compare([run.work_dir for run in students])
    page, _ = report.write_report(result,
                                  report.free_path(f'{work}/report.html'))
    if not args.quick:
        step('the student without mmkd')
        export_and_check(students[-1], work, {
            k: v
            for k, v in data.items() if k.startswith('test')
        })
    print(f'\nscenes:  {root} (contact_sheet.png shows them)\n'
          f'runs:    {work}\n'
          f'result:  {report.headline(result)[1]}\n'
          f'minutes: {(time.time() - began) / 60:.1f}\n'
          f'report:  {page}, in a browser: {Path(page).resolve().as_uri()}')
    return page


def _train(plan: dict, work: str, data: dict) -> list:
    """Train the teacher, unless it is there, and the students."""
    from mmkd.apis import export_student
    from mmkd.utils.runs import Run

    def run(name: str, config: str, iters: int, threads=None, **options):
        folder = osp.join(work, name.lower().replace(' ', '_'))
        if iters < 200:  # enough points for a curve
            options['default_hooks.logger.interval'] = max(1, iters // 10)
        return Run(name, config, folder, iters, {**data, **options}, threads)

    options = {}
    if plan['teacher']:
        step('the teacher')
        teacher = run('teacher', TEACHER, plan['teacher']).train()
        ckpt = f'{work}/teacher/export/student.pth'
        if not osp.isfile(ckpt):
            export_student(TEACHER, teacher.checkpoint, osp.dirname(ckpt))
        options = {'model.teachers.teacher.ckpt': ckpt}
    step(f'the student: alone, with {", with ".join(plan["methods"])}')
    # Networks this small hardly benefit from a second thread; two in
    # parallel, with one thread each, take half the time.
    students = [run('student alone', STUDENT, plan['student'], threads=1)]
    students += [
        run(name, config, plan['student'], threads=1, **options)
        for name, config in plan['methods'].items()
    ]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda student: student.train(), students))
