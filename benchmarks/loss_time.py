#!/usr/bin/env python
"""The cost of feature losses, compared with their plain formulas.

    benchmarks/loss_time.py --rounds 10

For FGD and MGD, on levels P3 to P7 of one image: compares mmkd's losses with
literal implementations of the formulas, box by box, with the same weights and
random draws. Both run forward and backward in turn, in one process and thread.
Values and gradients are compared as well.
"""
import argparse
import os
import statistics
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Callable, Dict, List, Tuple

# One thread, before torch is imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MKL_NUM_THREADS', '1')

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from mmkd.utils.command import run  # noqa: E402

STRIDES = (8, 16, 32, 64, 128)


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(800, 1344),
        metavar=('HEIGHT', 'WIDTH'),
        help='of the image, in pixels')
    parser.add_argument('--channels', type=int, default=256)
    parser.add_argument('--boxes', type=int, default=20)
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument(
        '--out', default=str(ROOT / 'benchmarks/results/loss_time.json'))
    return parser.parse_args(argv)


def fgd_formula(distiller: nn.Module, student: List[Tensor],
                teacher: List[Tensor], boxes: Tensor,
                size: Tuple[int, int]) -> Tensor:
    """The weighted sum of FGD's terms, step by step."""
    tau, total = distiller.tau, 0

    def attention(feat: Tensor) -> Tuple[Tensor, Tensor]:
        n, c, h, w = feat.shape
        cells = (feat.abs().mean(1, keepdim=True) / tau).view(n, -1)
        channels = feat.abs().mean(2).mean(2) / tau
        return (h * w * F.softmax(cells, dim=1)).view(n, h, w), c * F.softmax(
            channels, dim=1)

    def weight(term: str) -> float:
        return distiller.weights[term].value

    for i, (feat_s, feat_t) in enumerate(zip(student, teacher)):
        n, _, h, w = feat_s.shape
        (s_s, c_s), (s_t, c_t) = attention(feat_s), attention(feat_t)
        mask_fg, mask_bg = torch.zeros_like(s_t), torch.ones_like(s_t)
        for x1, y1, x2, y2 in boxes:
            x1, x2 = x1 * w / size[1], x2 * w / size[1]
            y1, y2 = y1 * h / size[0], y2 * h / size[0]
            x1, y1 = int(x1.floor()), int(y1.floor())
            x2, y2 = int(x2.ceil()), int(y2.ceil())
            window = mask_fg[0, y1:y2 + 1, x1:x2 + 1]
            area = (y2 + 1 - y1) * (x2 + 1 - x1)
            window.copy_(window.clamp(min=1 / area))
        mask_bg = torch.where(mask_fg > 0, torch.zeros_like(s_t), mask_bg)
        mask_bg /= mask_bg.sum().clamp(min=1)
        common = s_t.unsqueeze(1).sqrt(), c_t[:, :, None, None].sqrt()
        for term, mask in (('fg', mask_fg), ('bg', mask_bg)):
            root = mask.unsqueeze(1).sqrt()
            made = feat_s * common[0] * common[1] * root
            goal = feat_t * common[0] * common[1] * root
            total = total + weight(term) * F.mse_loss(
                made, goal, reduction='sum') / n
        total = total + weight('att') * ((s_s - s_t).abs().sum() +
                                         (c_s - c_t).abs().sum()) / n
        total = total + weight('global_') * F.mse_loss(
            distiller.contexts_s[i](feat_s),
            distiller.contexts_t[i](feat_t),
            reduction='sum') / n
    return total


def mgd_formula(distiller: nn.Module, student: List[Tensor],
                teacher: List[Tensor], *_: object) -> Tensor:
    """The weighted sum of MGD's levels, step by step."""
    total = 0
    for generator, feat_s, feat_t in zip(distiller.generators, student,
                                         teacher):
        n, _, h, w = feat_s.shape
        draw = torch.rand((n, 1, h, w))
        kept = torch.where(draw > 1 - distiller.mask_ratio, 0, 1)
        total = total + F.mse_loss(
            generator(feat_s * kept), feat_t, reduction='sum') / n
    return distiller.loss_weight.value * total


FORMULAS: Dict[str, Callable] = dict(FGD=fgd_formula, MGD=mgd_formula)


def benchmark(method: str, args: argparse.Namespace) -> dict:
    """Time both implementations of a method in turn."""
    from mmengine.structures import BaseDataElement, InstanceData

    from benchmarks.step_time import ratio_of
    from mmkd.core.batch import StepBatch
    from mmkd.core.taps.tap import TapSpec
    from mmkd.registry import DISTILLERS
    torch.manual_seed(0)
    size = tuple(args.size)
    student, teacher = ([
        torch.randn(1, args.channels, -(-size[0] // s), -(-size[1] // s))
        for s in STRIDES
    ] for _ in range(2))
    for feat in student:
        feat.requires_grad_()
    specs = [
        TapSpec(f'neck[{i}]', tuple(f.shape)) for i, f in enumerate(student)
    ]
    corner = torch.rand(args.boxes, 2) * 0.7
    boxes = torch.cat(
        [corner, corner + 0.01 + 0.29 * torch.rand(args.boxes, 2)],
        dim=1) * torch.tensor([size[1], size[0]] * 2)
    distiller = DISTILLERS.build(dict(type=method))
    distiller.setup(dict(features=specs), dict(features=specs))
    plain = deepcopy(distiller)

    def ours() -> Tensor:
        sample = BaseDataElement(
            gt_instances=InstanceData(
                bboxes=boxes, labels=torch.zeros(len(boxes)).long()))
        batch = StepBatch(torch.empty(1, 3, *size), [sample])
        return sum(
            distiller(dict(features=student), dict(features=teacher),
                      batch).values())

    def formula() -> Tensor:
        return FORMULAS[method](plain, student, teacher, boxes, size)

    ways = dict(mmkd=ours, formula=formula)
    seconds: Dict[str, List[float]] = {name: [] for name in ways}
    loss_gap = grad_gap = 0.0
    for i in range(-1, args.rounds):
        values, grads = {}, {}
        for name in list(ways)[::1 if i % 2 else -1]:
            torch.manual_seed(i)
            for feat in student:
                feat.grad = None
            start = time.process_time()
            loss = ways[name]()
            loss.backward()
            if i >= 0:
                seconds[name].append(time.process_time() - start)
            values[name] = loss.item()
            grads[name] = student[0].grad
        loss_gap = max(loss_gap, abs(values['mmkd'] / values['formula'] - 1))
        gap = (grads['mmkd'] - grads['formula']).norm()
        grad_gap = max(grad_gap, float(gap / grads['formula'].norm()))
    return dict(
        cpu_seconds={
            name: statistics.median(t)
            for name, t in seconds.items()
        },
        mmkd_over_formula=ratio_of(seconds['mmkd'], seconds['formula']),
        largest_difference_of_losses=loss_gap,
        largest_difference_of_gradients=grad_gap)


def main(argv=None) -> dict:
    """Run the benchmark."""
    from benchmarks.report import versions, write_result
    from mmkd.utils.table import format_table
    args = parse_args(argv)
    torch.set_num_threads(1)
    methods = {method: benchmark(method, args) for method in FORMULAS}
    print(
        format_table(
            ['method', 'mmkd (CPU s)', 'formula', 'ratio', 'losses differ by'],
            [[
                name, f'{found["cpu_seconds"]["mmkd"]:.3f}',
                f'{found["cpu_seconds"]["formula"]:.3f}',
                f'{found["mmkd_over_formula"]["paired"]:.3f}',
                f'{found["largest_difference_of_losses"]:.1e}'
            ] for name, found in methods.items()]))
    result = dict(
        methods=methods,
        size=list(args.size),
        strides=list(STRIDES),
        channels=args.channels,
        boxes=args.boxes,
        rounds=args.rounds,
        threads=torch.get_num_threads(),
        versions=versions(),
        date=time.strftime('%Y-%m-%d'))
    write_result(args.out, result)
    return result


if __name__ == '__main__':
    run(lambda: main() and None)
