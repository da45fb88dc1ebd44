#!/usr/bin/env python
"""Does the gradient of a method's losses help on unseen scenes?

    RUNS=work_dirs/bench/bench
    benchmarks/gradient_agreement.py --method xray \\
        --student $RUNS/centerpoint_student_seed0/iter_800.pth \\
        --teacher $RUNS/xray_teacher/export/student.pth

Computes, at the weights of a checkpoint (of the student alone or of a
distilled run) and on the training data, the gradient of each loss of the
method, weighted as in training, and that of the student's own losses. Each is
compared with the gradient of the student's own losses on the validation data.
The cosine of the two shows how much a small step that lowers one lowers the
other: one for the same direction, zero for unrelated gradients, negative if a
step does harm. The student's own losses on the training data serve as the
reference.

Cosines are computed from the mean over all batches; their standard errors come
from the jackknife over up to ten groups of batches. The script also reports
the cosine with the student's own losses on the training data; the cosine
with validation after removing that direction, which is what the method adds;
and the norm of the gradient relative to the student's own losses.

The networks are those of the entry's benchmark, trained by
benchmarks/methods.py.
"""
import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

# One thread, before torch is imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MKL_NUM_THREADS', '1')

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from mmkd.utils.command import run  # noqa: E402

#: Maximum number of jackknife groups.
GROUPS = 10
#: Names of sums: the student's own losses, and the losses of the method.
TASK, METHOD = 'student', 'all of the method'


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--method', required=True, help='name of an entry')
    parser.add_argument(
        '--student',
        required=True,
        metavar='CHECKPOINT',
        help='of the student alone, or of a distilled run')
    parser.add_argument(
        '--teacher', required=True, metavar='CHECKPOINT', help='a plain one')
    parser.add_argument(
        '--batches',
        type=int,
        default=100,
        help='of the training data, and as many of the validation data')
    parser.add_argument(
        '--data-root', help='default: that of benchmarks/methods.py')
    parser.add_argument('--out', help='a JSON file for the result')
    return parser.parse_args(argv)


def gradients(model: nn.Module, parameters: List[Tensor],
              batch: dict) -> Dict[str, Tensor]:
    """The gradient of each loss, and of their sums, as one vector each."""
    sums: Dict[str, Any] = defaultdict(float)
    for name, loss in model(**batch, mode='loss').items():
        if 'loss' not in name:
            continue  # a figure beside the losses
        loss = sum(loss) if isinstance(loss, (list, tuple)) else loss
        if name.startswith('student.'):
            sums[TASK] = sums[TASK] + loss.mean()
        elif loss.requires_grad:
            sums[name] = loss.mean()
            sums[METHOD] = sums[METHOD] + loss.mean()
    found = {}
    for name, loss in sums.items():
        parts = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True)
        found[name] = torch.cat([
            (torch.zeros_like(p) if g is None else g).flatten()
            for p, g in zip(parameters, parts)
        ])
    return found


def sum_groups(batches: Iterator[Dict[str, Tensor]],
               number: int) -> Dict[str, Tensor]:
    """Gradients summed within groups of batches.

    Returns:
        dict[str, Tensor]: (G, P) each, in double precision.
    """
    groups: Dict[str, Any] = {}
    size = min(GROUPS, number)
    for i, found in zip(range(number), batches):
        for name, gradient in found.items():
            if name not in groups:
                groups[name] = gradient.new_zeros((size, len(gradient)),
                                                  dtype=torch.float64)
            groups[name][i * size // number] += gradient
    return groups


def cosine(a: Tensor, b: Tensor) -> Tuple[float, float]:
    """Cosine of two sums of groups, and its standard error.

    Args:
        a (Tensor): (G, P), of the groups of one set of batches.
        b (Tensor): (G, P), of another's.
    """

    def of(x: Tensor, y: Tensor) -> Tensor:
        return torch.cosine_similarity(x, y, dim=-1)

    total_a, total_b = a.sum(0), b.sum(0)
    # Both sets are independent random samples.
    variance = sum((n - 1) / n * (left - left.mean()).square().sum()
                   for n, left in ((len(a), of(total_a - a, total_b)),
                                   (len(b), of(total_a, total_b - b))))
    return of(total_a, total_b).item(), variance.sqrt().item()


def beyond(a: Tensor, own: Tensor) -> Tensor:
    """Remove the direction of one sum of groups from another.

    Args:
        a (Tensor): (G, P).
        own (Tensor): (G, P), whose sum is the direction.

    Returns:
        Tensor: (G, P); 0 up to rounding if both have the same direction.
    """
    direction = own.sum(0) / own.sum(0).norm()
    return a - (a @ direction)[:, None] * direction


def measure(args: argparse.Namespace) -> Dict[str, Any]:
    """Gradients of the training and of the validation data, compared."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner, load_checkpoint, set_random_seed

    from benchmarks.entry import Entry, of_student, root_of
    from mmkd.apis import prepare_training
    from mmkd.registry import MODELS
    from mmkd.utils.checkpoint import load_weights, read_checkpoint
    entry = Entry.load(args.method, args.data_root
                       or root_of(args.method, 'bench'))
    entry.make_data(None)
    cfg = Config.fromfile(entry.distilled.config)
    cfg.merge_from_dict(entry.data)
    options = entry.student.options
    cfg.merge_from_dict(of_student(options))
    cfg.merge_from_dict(entry.distilled.options)
    cfg.merge_from_dict({
        'model.teachers.teacher.ckpt': args.teacher,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False
    })
    cfg = prepare_training(cfg)
    init_default_scope(cfg.default_scope)
    set_random_seed(0)
    model = MODELS.build(cfg.model)
    if args.student != 'random':
        # With the distillers' own weights, if it has any.
        load_checkpoint(model, args.student, 'cpu')
        load_weights(model.student, read_checkpoint(args.student),
                     'the student')
    model.train()
    parameters = [p for p in model.student.parameters() if p.requires_grad]

    # The validation data in the student's training pipeline, which loads the
    # annotations; the teacher is not used.
    alone = Config.fromfile(entry.student.config)
    alone.merge_from_dict({**entry.data, **options})
    validation = alone.train_dataloader
    validation.update(num_workers=0, persistent_workers=False)
    validation.dataset.ann_file = alone.val_dataloader.dataset.ann_file

    def run(loader: dict, teachers: list) -> Iterator[Dict[str, Tensor]]:
        batches = Runner.build_dataloader(loader, seed=0)
        while True:
            for data in batches:
                yield gradients(model, parameters,
                                model.prepare_batch(data, teachers))

    train = sum_groups(run(cfg.train_dataloader, ['teacher']), args.batches)
    for distiller in model.distillers.values():
        distiller.weights.clear()
    held_out = sum_groups(run(validation, []), args.batches)[TASK]
    own = train[TASK]
    rows = {}
    for name, found in train.items():
        (agreement, error), (with_own, _) = (cosine(found, held_out),
                                             cosine(found, own))
        added, added_error = (None, None) if name == TASK else cosine(
            beyond(found, own), held_out)
        rows[name] = dict(
            cosine_with_validation=agreement,
            standard_error=error,
            cosine_with_own_losses=with_own,
            beyond_own_losses=added,
            beyond_standard_error=added_error,
            norm=(found.sum(0).norm() / own.sum(0).norm()).item())
    return rows


def main(argv=None) -> None:
    """Measure, print, and optionally write a file."""
    args = parse_args(argv)
    os.chdir(ROOT)
    from benchmarks.entry import require_method
    from benchmarks.report import versions, write_result
    from mmkd.errors import ConfigError
    from mmkd.utils.table import format_table
    require_method(args.method)
    if args.batches < 2:
        raise ConfigError('--batches must be 2 or more: one group of batches '
                          'gives no standard error')
    for path in (args.student, args.teacher):
        if path != 'random' and not os.path.isfile(path):
            raise ConfigError(f'{path} is missing; train it first: '
                              'benchmarks/methods.py --method '
                              f'{args.method}')
    rows = measure(args)

    def shown(value, error) -> str:
        return None if value is None else f'{value:+.3f} ± {error:.3f}'

    print(
        format_table([
            'losses', 'cosine with validation', 'with own losses',
            'beyond own losses', 'length'
        ], [[
            name,
            shown(row['cosine_with_validation'], row['standard_error']),
            f'{row["cosine_with_own_losses"]:+.3f}',
            shown(row['beyond_own_losses'],
                  row['beyond_standard_error']), f'{row["norm"]:.2f}'
        ] for name, row in rows.items()]))
    if args.out:
        write_result(
            args.out,
            dict(
                method=args.method,
                student=args.student,
                teacher=args.teacher,
                batches=args.batches,
                losses=rows,
                versions=versions()))


if __name__ == '__main__':
    run(main)
