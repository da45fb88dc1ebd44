#!/usr/bin/env python
"""Distil one pair of each family of the libraries, with one line each.

    benchmarks/zoo.py [--only mmdet/rtmdet ...] [--table]

For each folder of configs, a small member learns from a larger one: the model
of `mmkd distill STUDENT --teacher TEACHER --method METHOD`, random weights,
no other option, and one training step on random input. A process of its own
with a limit of time and memory runs each pair. Results are stored as they
come, so an interrupted sweep continues; `--only` repeats what it names.
`docs/zoo.md` is made of them.
"""
import argparse
import json
import os
import re
import signal
import sys
import time
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import (Any, Callable, Dict, Iterator, List, NamedTuple, Optional,
                    Sequence)

# One thread, before torch is imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MKL_NUM_THREADS', '1')

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.report import versions  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

RESULT = ROOT / 'benchmarks/results/zoo.json'
TABLE = ROOT / 'docs/zoo.md'
#: Methods by library, as a column of the table and arguments.
METHODS: Dict[str, Dict[str, dict]] = dict(
    mmdet=dict(PKD=dict(type='PKD'), FGD=dict(type='FGD')),
    mmseg=dict(BPKD=dict(type='BPKD'), MGD=dict(type='MGD')),
    mmdet3d={
        'PKD': dict(type='PKD'),
        'PointDistiller': dict(type='PointDistiller'),
        'X-Ray': dict(type='XRay')
    })
#: Folders without networks to train.
SKIPPED = ('_base_', 'common', 'benchmark', 'albu_example', 'dsdl',
           'selfsup_pretrain', 'misc')
#: Students and teachers of different families, all of COCO's classes.
PAIRS = [('retinanet/retinanet_r18_fpn_1x_coco', teacher)
         for teacher in ('atss/atss_r101_fpn_1x_coco',
                         'gfl/gfl_r101_fpn_ms-2x_coco',
                         'faster_rcnn/faster-rcnn_r101_fpn_1x_coco',
                         'cascade_rcnn/cascade-rcnn_x101-32x4d_fpn_1x_coco',
                         'vfnet/vfnet_r101_fpn_ms-2x_coco',
                         'dyhead/atss_r50_fpn_dyhead_1x_coco',
                         'mask_rcnn/mask-rcnn_swin-t-p4-w7_fpn_1x_coco',
                         'rtmdet/rtmdet_l_8xb32-300e_coco',
                         'dino/dino-4scale_r50_8xb2-12e_coco')]
PAIRS += [
    ('fcos/fcos_r50-caffe_fpn_gn-head_1x_coco',
     'tood/tood_r101_fpn_ms-2x_coco'),
    ('yolox/yolox_tiny_8xb8-300e_coco', 'rtmdet/rtmdet_m_8xb32-300e_coco'),
    ('reppoints/reppoints-moment_r50_fpn_1x_coco',
     'mask_rcnn/mask-rcnn_r101_fpn_1x_coco'),
    ('gfl/gfl_r50_fpn_1x_coco', 'htc/htc_r101_fpn_20e_coco'),
]
#: What mmkd says of an operator that has no code for CPUs.
_NO_CPU = ('no code for CPUs', 'initialize CUDA')
#: Height and width of the images; the second where the first is too small.
SIZES = ((128, 128), (320, 320))
#: What the outcomes mean, in the order of the table's legend.
OUTCOMES = {
    'yes': 'one line suffices; student and teacher ran, and the step moved '
    'weights of the student',
    'size': 'likewise with `dry_run_size=(320, 320)`, as the message advises',
    'GPU': 'its operators exist on a GPU only; built on a pretended one with '
    'stand-ins for them, and the losses of a step computed',
    'GPU?': 'its operators exist on a GPU only, and have no stand-ins here',
    'no': 'refused before training, with the reason and the way out',
    'alone': 'the student does not train on the random input by itself; some '
    'operators of mmcv crash on CPUs',
    'library': 'cannot be built here: needs another package, or weights from '
    'the network',
    'limit': 'stopped at the limit of time or memory, before it was decided',
    'died': 'the process died',
    'BROKEN': 'an error of mmkd',
}


class Case(NamedTuple):
    """A pair of configs, as ``library/family`` and paths in the library."""
    name: str
    student: str
    teacher: str

    @property
    def library(self) -> str:
        """Package of the configs."""
        return self.name.split('/')[0]


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        '--only', nargs='+', help='beginnings of names to run, even again')
    parser.add_argument(
        '--table', action='store_true', help=f'only write {TABLE.name}')
    parser.add_argument(
        '--seconds', type=float, default=300, help='limit of a pair')
    parser.add_argument(
        '--gigabytes', type=float, default=8, help='limit of a pair')
    parser.add_argument('--count', type=int, help='stop after this many pairs')
    parser.add_argument('--out', type=Path, default=RESULT)
    return parser.parse_args(argv)


# ------------------------------------------------------- choosing the pairs

#: Words in names of configs, from small to large.
_WORDS = [
    'nano', 'pico', 'tiny', 't', 'small', 's', 'slim', 'mv2', 'mobilenetv2',
    'base', 'b', 'm', 'large', 'l', 'x', 'huge', 'h', 'g'
]


def size_of(config: str) -> float:
    """Rank a config by the network's size that its name tells."""
    size = 0.
    for word in re.split('[_.-]', config):
        depth = re.fullmatch(
            r'(r|x|s|v|vd|mit|b|d|w|hourglass|vovnet)?-?'
            r'(?:b|w)?(\d+)[a-z0-9]*', word)
        if word in _WORDS:
            size += 10 * _WORDS.index(word)
        elif depth and depth[1]:
            size += min(int(depth[2]), 200) + (depth[1] == 'x')
        elif re.fullmatch(r'[\d.]+[gm]f', word):
            size += float(word[:-2]) * (1 if word[-2] == 'm' else 1000) / 100
    return size


def choose(names: List[str]) -> List[str]:
    """The small and the larger member of a family.

    Both are of one kind (the first word of the name) and one data set (the
    last): of the kind with the most sizes. A family of one member teaches
    itself.

    Args:
        names (list[str]): Names of its configs.
    """
    groups: Dict[tuple, List[str]] = {}
    for name in names:
        words = re.split('[_]', name)
        groups.setdefault((words[0], words[-1]), []).append(name)
    # The dict keeps the order of names where two have as many sizes.
    group = max(groups.values(), key=lambda x: len({size_of(n) for n in x}))
    group = sorted(group, key=lambda x: (size_of(x), len(x)))
    larger = [x for x in group if size_of(x) == size_of(group[-1])]
    return [group[0], larger[0]]


def cases() -> Iterator[Case]:
    """All pairs of the sweep."""
    from mmengine.utils import get_installed_path
    for library in METHODS:
        root = Path(
            get_installed_path('mmsegmentation' if library ==
                               'mmseg' else library)) / '.mim/configs'
        for folder in sorted(root.iterdir()):
            names = sorted(
                path.stem for path in folder.glob('*.py')
                if not re.search('_tta$|^metafile|^_', path.stem))
            if folder.name in SKIPPED or not names:
                continue
            yield Case(f'{library}/{folder.name}',
                       *(f'{folder.name}/{x}' for x in choose(names)))
    for student, teacher in PAIRS:
        names = [x.split('/')[0] for x in (student, teacher)]
        yield Case(f'mmdet/{names[0]} <- {names[1]}', student, teacher)


# --------------------------------------------------------- trying one pair


def try_pair(case: Case, *limits: float) -> Dict[str, Any]:
    """Build both networks, and distil with each method of the library.

    Args:
        case (Case): The pair.
        limits (float): Seconds and gigabytes of an attempt.
    """
    from mmkd.core.network import build_untrained
    started = time.monotonic()
    result: Dict[str, Any] = {}
    try:
        networks = [
            build_untrained(f'{case.library}::{path}.py', who)
            for path, who in ((case.student, 'student'), (case.teacher,
                                                          'teacher'))
        ]
    except Exception as error:
        result['methods'] = dict.fromkeys(METHODS[case.library],
                                          ('library', _line(error)))
        return result
    result['parameters'] = [
        sum(p.numel() for p in network.parameters()) for network in networks
    ]
    result['methods'] = {
        name: try_method(networks, method, *limits)
        for name, method in METHODS[case.library].items()
    }
    result['seconds'] = round(time.monotonic() - started, 1)
    return result


def try_method(networks: list, method: dict, *limits: float) -> Sequence[str]:
    """Outcome and remark of a method; the networks stay as they are."""

    def attempt(size: tuple, **options: bool) -> Sequence[str]:
        found = in_process(
            lambda: dict(found=_attempt(networks, method, size, **options)),
            *limits)
        died = found.get('died', '')
        return found.get('found') or ('died' if died.startswith('ended') else
                                      'limit', died)

    outcome, remark = attempt(SIZES[0])
    pretend = any(text in remark for text in _NO_CPU)
    if pretend:
        outcome, remark = attempt(SIZES[0], pretend=True)
        if re.search('device cpu|on CPU', remark):
            return 'GPU?', ''
    if outcome in ('BROKEN', 'died'):
        why = attempt(SIZES[0], alone=True, pretend=pretend)
        return ('alone', why[1]) if why[0] in ('alone', outcome) else (outcome,
                                                                       remark)
    if 'dry_run_size' in remark and attempt(SIZES[1])[0] == 'yes':
        return 'size', remark
    return ('GPU', '') if pretend and outcome == 'yes' else (outcome, remark)


def _attempt(networks: list,
             method: dict,
             size: tuple,
             alone: bool = False,
             pretend: bool = False) -> Sequence[str]:
    """Build the model, and train one step.

    Args:
        networks (list): Student and teacher.
        method (dict): The distiller.
        size (tuple[int, int]): Height and width of images in pixels.
        alone (bool): Whether only the student trains. Defaults to False.
        pretend (bool): Whether to pretend an accelerator and to compute the
            losses only. Defaults to False.
    """
    import torch

    from mmkd.core.model import DistillationModel
    from mmkd.errors import MMKDError
    from mmkd.testing.accelerator import PretendedAccelerator
    from mmkd.testing.point_kernels import KERNELS
    from mmkd.utils.devices import training_device
    torch.manual_seed(0)
    student, teacher = networks
    with PretendedAccelerator(KERNELS) if pretend else nullcontext():
        try:
            model = student if alone else DistillationModel(
                student,
                dict(teacher=dict(cfg=teacher, ckpt='random')),
                dict(kd=dict(method)),
                dry_run_size=size)
        except MMKDError as error:
            return 'no', _line(error)
        except Exception as error:
            return 'BROKEN', _line(error)
        model.to(training_device()).train()
        before = [p.detach().clone() for p in student.parameters()]
        try:
            losses = _step(model, student, size, backward=not pretend)
        except Exception as error:
            return 'alone' if alone else 'BROKEN', _line(error)
        broken = [k for k, v in losses.items() if not v.isfinite().all()]
    if broken:
        return 'BROKEN', f'not finite: {", ".join(broken)}'
    if not pretend and all(
            p.equal(old) for p, old in zip(student.parameters(), before)):
        return 'BROKEN', 'the step moved no weight of the student'
    return 'yes', ''


def _step(model, student, size: tuple, backward: bool) -> dict:
    """Train one step; returns the terms of the distillation."""
    import torch

    from mmkd.families import family_of
    from mmkd.testing.accelerator import values
    batch = family_of(student).example_batch(student, size)
    inputs = batch['inputs']
    if isinstance(inputs, torch.Tensor):
        # Two images, for the statistics of a batch.
        noise = torch.randn((2, *inputs.shape[1:])).to(inputs.device)
        samples = batch['data_samples']
        batch = dict(
            inputs=noise,
            data_samples=samples and [samples[0], samples[0].clone()])
    losses = model(**batch, mode='loss')
    if backward:
        optimizer = torch.optim.SGD(
            [p for p in model.parameters() if p.requires_grad], 1e-3)
        total, _ = model.parse_losses(losses)
        total.backward()
        optimizer.step()
    return {k: values(v) for k, v in losses.items() if k.startswith('kd.')}


def _line(error: Exception) -> str:
    """An error in one line, with the place if it is not a message of mmkd."""
    from mmkd.errors import MMKDError
    text = ' '.join(str(error).split())
    text = re.sub(r'/[\w./-]+/(?=mmcv/ops/)', '', text)  # paths of a build
    if isinstance(error, MMKDError):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    place = ' < '.join(f'{"/".join(f.filename.split("/")[-2:])}:{f.lineno}'
                       for f in frames[:-4:-1])
    return f'{type(error).__name__}: {text[:200]} ({place})'


# ------------------------------------------------- processes and the table


def in_process(job: Callable[[], dict], seconds: float,
               gigabytes: float) -> Dict[str, Any]:
    """Run a job in a forked process, and return what it does.

    Returns:
        dict: Its result, or ``died``: why it gave none.
    """
    source, target = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(source)
            with open(os.devnull, 'w') as null:
                os.dup2(null.fileno(), 1)
                os.dup2(null.fileno(), 2)
            with os.fdopen(target, 'w') as file:
                json.dump(job(), file)
        finally:
            os._exit(0)
    os.close(target)
    reason = None
    deadline = time.monotonic() + seconds
    while reason is None and not os.waitid(
            os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.2)
        if time.monotonic() > deadline:
            reason = f'more than {seconds:.0f} s'
        if _resident(child) > gigabytes * 2**30:
            reason = f'more than {gigabytes:.0f} GiB'
    if reason:
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    with os.fdopen(source) as file:
        text = file.read()
    if reason or not text:
        return dict(died=reason or f'ended with status {status}')
    return json.loads(text)


def _resident(process: int) -> int:
    """Bytes of memory that a process holds."""
    try:
        pages = Path(f'/proc/{process}/statm').read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf('SC_PAGE_SIZE')


def write_table(result: Dict[str, Any],
                path: Path,
                planned: Sequence[str] = ()) -> None:
    """Write the page of a result.

    Args:
        result (dict): Outcomes by name of the pair, and versions.
        path (Path): The page.
        planned (Sequence[str]): Names of all pairs of the sweep. Defaults to
            ().
    """
    found = result['cases']
    counts = {
        outcome:
        sum(
            any(m[0] == outcome for m in case['methods'].values())
            for case in found.values())
        for outcome in OUTCOMES
    }
    lines = [
        '# Zoo: which networks can be distilled', '',
        '<!-- Made by benchmarks/zoo.py; do not edit. -->', '',
        'For each family of the libraries, a small member learns from a '
        'larger one: `mmkd distill STUDENT --teacher', 'TEACHER --method '
        'METHOD`, without any other option, with random weights, for one '
        'training step.', '', '| Outcome | Meaning | Families |',
        '| --- | --- | --- |'
    ]
    lines += [
        f'| {key} | {text} | {counts[key]} |'
        for key, text in OUTCOMES.items() if counts[key]
    ]
    notes: Dict[str, int] = {}
    for library, methods in METHODS.items():
        own = {k: v for k, v in found.items() if k.split('/')[0] == library}
        if not own:
            continue
        lines += [
            '', f'## {library}', '',
            f'| Family | Student | Teacher | {" | ".join(methods)} |',
            '| --- ' * (3 + len(methods)) + '|'
        ]
        for name, case in own.items():
            cells = [name[len(library) + 1:]]
            cells += [Path(case[who]).name for who in ('student', 'teacher')]
            for method in methods:
                outcome, remark = case['methods'][method]
                mark = ''
                if remark:
                    number = notes.setdefault(_plain(remark), len(notes) + 1)
                    mark = f' [{number}](#reasons)'
                cells.append(outcome + mark)
            lines.append(f'| {" | ".join(cells)} |')
    lines += ['', '## Reasons', '']
    lines += [f'{number}. {text}' for text, number in notes.items()]
    left = [name for name in planned if name not in found]
    if left:
        lines += ['', f'Not tried yet ({len(left)}): {", ".join(left)}.']
    packages = ', '.join(f'{k} {v}' for k, v in result['versions'].items())
    lines += ['', f'Swept with {packages}.', '']
    path.write_text('\n'.join(lines), encoding='utf-8')


def _plain(remark: str) -> str:
    """A remark in Markdown."""
    return re.sub(r'([<>_*|\[\]])', r'\\\1', remark)


def main(argv: Optional[List[str]] = None) -> None:
    """Sweep, and write the page."""
    args = parse_args(argv)
    result: Dict[str, Any] = dict(versions=versions(), cases={})
    if args.out.is_file():
        result['cases'] = json.loads(args.out.read_text())['cases']
    if not args.table:
        _sweep(args, result)
    if args.out == RESULT:
        write_table(result, TABLE, [case.name for case in cases()])


def _sweep(args: argparse.Namespace, result: Dict[str, Any]) -> None:
    import warnings

    import mmdet3d.models  # noqa: F401
    import mmseg.models  # noqa: F401

    import mmkd.methods  # noqa: F401
    warnings.simplefilter('ignore')
    if args.only:
        chosen = [x for x in cases() if x.name.startswith(tuple(args.only))]
    else:
        chosen = [x for x in cases() if x.name not in result['cases']]
    for case in chosen[:args.count]:
        limits = args.seconds, args.gigabytes
        # The attempts have limits of their own.
        found = in_process(lambda: try_pair(case, *limits), 10 * args.seconds,
                           args.gigabytes)
        died = found.pop('died', None)
        if died:
            found['methods'] = dict.fromkeys(METHODS[case.library],
                                             ('limit', died))
        result['cases'][case.name] = dict(
            student=case.student, teacher=case.teacher, **found)
        result['cases'] = dict(sorted(result['cases'].items()))
        part = args.out.with_suffix('.part')
        part.write_text(json.dumps(result, indent=1) + '\n')
        part.replace(args.out)
        print(
            case.name,
            found.get('seconds'),
            *(f'{k}: {" ".join(v)[:150]}'
              for k, v in found['methods'].items()),
            sep='  ',
            flush=True)


if __name__ == '__main__':
    run(main)
