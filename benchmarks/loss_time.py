#!/usr/bin/env python
"""The cost of the methods' losses, beside their plain formulas and mmrazor.

    benchmarks/loss_time.py --rounds 20 --mmrazor FOLDER

Feature losses (FGD, MGD, PKD) on levels P3 to P7 of one image, losses of
class scores (CWD, BPKD) on those of two images at stride 8. mmkd's losses
are compared with literal implementations of the formulas and, with
``--mmrazor FOLDER`` (into which ``pip install --no-deps --target FOLDER
mmrazor==1.0.0`` has put it), with mmrazor's classes for CWD, PKD and MGD:
same weights, same random draws. All run forward and backward in turn, in one
process and thread. Values, gradients, and the memory that is kept for the
backward pass are compared as well; for BPKD, also the time by the number of
classes that occur.
"""
import argparse
import os
import statistics
import sys
import time
import types
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

# One thread, before torch is imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MKL_NUM_THREADS', '1')

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from benchmarks.timing import measure_in_turn, ratio_of  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

STRIDES = (8, 16, 32, 64, 128)
#: Images of a batch of class scores.
IMAGES = 2
#: Numbers of classes that occur, for BPKD.
OCCURRING = (2, 4, 8, 16)


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
    parser.add_argument('--classes', type=int, default=19)
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--mmrazor', metavar='FOLDER')
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


def pkd_formula(distiller: nn.Module, student: List[Tensor],
                teacher: List[Tensor], *_: object) -> Tensor:
    """Half the squared distance of maps that are standardised by channel."""

    def standard(feat: Tensor) -> Tensor:
        rows = feat.transpose(0, 1).flatten(1)
        rows = (rows - rows.mean(1, keepdim=True)) / (
            rows.std(1, keepdim=True) + 1e-6)
        return rows

    return distiller.loss_weight.value * sum(
        F.mse_loss(standard(feat_s), standard(feat_t)) / 2
        for feat_s, feat_t in zip(student, teacher))


def cwd_formula(distiller: nn.Module, student: List[Tensor],
                teacher: List[Tensor], *_: object) -> Tensor:
    """The divergence of the distributions of each class over the cells."""
    tau = distiller.tau
    (log_s, log_t) = (
        F.log_softmax(x[0].flatten(2) / tau, 2) for x in (student, teacher))
    return distiller.loss_weight.value * tau**2 * (
        log_t.exp() * (log_t - log_s)).sum(2).mean()


def bpkd_formula(distiller: nn.Module, student: List[Tensor],
                 teacher: List[Tensor], labels: Tensor, *_: object) -> Tensor:
    """Both terms, with masks from one-hot maps of all classes."""
    logits_s, logits_t = student[0], teacher[0]
    width, size = distiller.edge_width, logits_s.shape[2:]
    same = F.one_hot(labels, logits_s.size(1)).permute(0, 3, 1, 2).float()
    dilated, other = (
        F.max_pool2d(x, width, 1, width // 2) for x in (same, 1 - same))
    masks = F.adaptive_avg_pool2d(dilated - (1 - other), size)
    log_s, log_t = (F.log_softmax(x * masks, 1) for x in (logits_s, logits_t))
    phi = (log_t.exp() * (log_t - log_s)).sum(1, keepdim=True)
    cells = (masks > 0).sum((2, 3), keepdim=True).clamp(min=1)
    edge = (phi * masks * distiller.edge_class_weights / cells).sum()
    body_s, body_t = (
        F.log_softmax((x * (1 - masks)).flatten(2), 2)
        for x in (logits_s, logits_t))
    body = (body_t.exp() * (body_t - body_s)).sum(2).mean()
    return (distiller.weights['edge'].value * edge / len(labels) +
            distiller.weights['body'].value * body)


def cwd_mmrazor(folder: str, distiller: nn.Module) -> Callable:
    """mmrazor's loss of CWD."""
    losses = _from_mmrazor(folder, 'models.losses.cwd')
    loss = losses.ChannelWiseDivergence(distiller.tau,
                                        distiller.loss_weight.value)
    return lambda student, teacher, *_: loss(student[0], teacher[0])


def pkd_mmrazor(folder: str, distiller: nn.Module) -> Callable:
    """mmrazor's loss of PKD."""
    losses = _from_mmrazor(folder, 'models.losses.pkd_loss')
    loss = losses.PKDLoss(distiller.loss_weight.value)
    return lambda student, teacher, *_: loss(tuple(student), tuple(teacher))


def mgd_mmrazor(folder: str, distiller: nn.Module) -> Callable:
    """mmrazor's connectors and loss of MGD, with the same weights."""
    losses = _from_mmrazor(folder, 'models.losses.mgd_loss')
    parts = _from_mmrazor(folder,
                          'models.architectures.connectors.mgd_connector')
    loss = losses.MGDLoss(distiller.loss_weight.value)
    connectors = []
    for generator in distiller.generators:
        channels = generator.layers[0].in_channels
        connector = parts.MGDConnector(
            channels, channels, lambda_mgd=distiller.mask_ratio)
        connector.generation.load_state_dict(generator.layers.state_dict())
        connectors.append(connector)
    return lambda student, teacher, *_: sum(
        loss(connector.forward_train(feat_s), feat_t)
        for connector, feat_s, feat_t in zip(connectors, student, teacher))


def _from_mmrazor(folder: str, name: str) -> Any:
    """A module of mmrazor, without the packages around it: some of them do
    not run with recent versions of torch."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
    parts = name.split('.')
    for i in range(1, len(parts)):
        package: Any = types.ModuleType('.'.join(['mmrazor', *parts[:i]]))
        package.__path__ = [str(Path(folder, 'mmrazor', *parts[:i]))]
        sys.modules.setdefault(package.__name__, package)
    return import_module(f'mmrazor.{name}')


class Case(NamedTuple):
    """A method and what it is compared with.

    Attributes:
        role (str): Its role.
        formula (Callable): The plain formula.
        mmrazor (Callable, optional): Makes mmrazor's loss.
        options (dict): Of the method.
    """
    role: str
    formula: Callable
    mmrazor: Optional[Callable] = None
    options: Dict[str, Any] = {}


CASES = dict(
    FGD=Case('features', fgd_formula),
    MGD=Case('features', mgd_formula, mgd_mmrazor),
    PKD=Case('pyramid', pkd_formula, pkd_mmrazor),
    CWD=Case('logits', cwd_formula, cwd_mmrazor),
    BPKD=Case('logits', bpkd_formula))


def draw_labels(size: Tuple[int, int], occurring: int) -> Tensor:
    """A label map (1, H, W) of vertical stripes of some classes."""
    stripes = torch.arange(size[1]) * 4 * occurring // size[1] % occurring
    return stripes.expand(1, *size).contiguous()


def saved_bytes(compute: Callable[[], Tensor], given: List[Tensor]) -> int:
    """Memory that a loss keeps for its backward pass, without its inputs."""
    known = {x.untyped_storage().data_ptr() for x in given}
    found: Dict[int, Any] = {}

    def note(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in known:
            # Kept alive, so that no other takes its place.
            found[storage.data_ptr()] = storage
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        compute()
    return sum(storage.nbytes() for storage in found.values())


def make_ways(method: str, args: argparse.Namespace,
              occurring: int) -> Tuple[Dict[str, Callable], List[Tensor]]:
    """Ways to compute a method's loss, and the student's tensors."""
    from mmengine.structures import BaseDataElement, InstanceData, PixelData

    from mmkd.core.batch import StepBatch
    from mmkd.core.taps.tap import TapSpec
    from mmkd.registry import DISTILLERS
    torch.manual_seed(0)
    case, size = CASES[method], tuple(args.size)
    # Boxes are those of one image.
    images, shapes = 1, [(1, args.channels, -(-size[0] // s), -(-size[1] // s))
                         for s in STRIDES]
    if case.role == 'logits':
        images = IMAGES
        shapes = [(images, args.classes, -(-size[0] // 8), -(-size[1] // 8))]
    student, teacher = ([torch.randn(shape) for shape in shapes]
                        for _ in range(2))
    for feat in student:
        feat.requires_grad_()
    specs = {
        case.role:
        [TapSpec(f'place[{i}]', shape) for i, shape in enumerate(shapes)]
    }
    distiller = DISTILLERS.build(dict(type=method, **case.options))
    distiller.setup(specs, specs)
    corner = torch.rand(args.boxes, 2) * 0.7
    boxes = torch.cat(
        [corner, corner + 0.01 + 0.29 * torch.rand(args.boxes, 2)],
        dim=1) * torch.tensor([size[1], size[0]] * 2)
    labels = draw_labels(size, occurring).expand(images, -1, -1)
    truth = labels if case.role == 'logits' else boxes
    samples = [
        BaseDataElement(
            gt_instances=InstanceData(
                bboxes=boxes, labels=torch.zeros(len(boxes)).long()),
            gt_sem_seg=PixelData(data=labels[i:i + 1])) for i in range(images)
    ]
    inputs = torch.empty(images, 3, *size)

    def ours() -> Tensor:
        return sum(
            distiller({
                case.role: student
            }, {
                case.role: teacher
            }, StepBatch(inputs, samples)).values())

    ways: Dict[str, Callable] = dict(mmkd=ours)
    plain = deepcopy(distiller)
    ways['formula'] = lambda: case.formula(plain, student, teacher, truth, size
                                           )
    if args.mmrazor and case.mmrazor:
        theirs = case.mmrazor(args.mmrazor, distiller)
        ways['mmrazor'] = lambda: theirs(student, teacher)
    return ways, [*student, *teacher]


def benchmark(method: str, args: argparse.Namespace) -> dict:
    """Compare all ways to compute a method's loss."""
    ways, given = make_ways(method, args, OCCURRING[-1])
    values, grads, saved = {}, {}, {}
    for name, compute in ways.items():
        torch.manual_seed(0)
        loss = compute()
        grads[name], = torch.autograd.grad(loss, given[:1])
        values[name] = loss.item()
        saved[name] = saved_bytes(compute, given)
    steps = {
        name: lambda compute=compute: compute().backward()
        for name, compute in ways.items()
    }
    seconds = measure_in_turn(steps, args.rounds, 1)['cpu']
    found: Dict[str, Any] = dict(
        cpu_seconds={
            name: statistics.median(t)
            for name, t in seconds.items()
        },
        saved_mib={
            name: x / 2**20
            for name, x in saved.items()
        })
    for other in list(ways)[1:]:
        gap = (grads['mmkd'] - grads[other]).norm() / grads[other].norm()
        found[other] = dict(
            ratio=ratio_of(seconds['mmkd'], seconds[other]),
            difference_of_losses=abs(values['mmkd'] / values[other] - 1),
            difference_of_gradients=float(gap))
    return found


def by_classes(args: argparse.Namespace) -> Dict[int, float]:
    """CPU seconds of BPKD by the number of classes that occur."""
    steps = {}
    for occurring in OCCURRING:
        compute = make_ways('BPKD', args, occurring)[0]['mmkd']
        steps[str(occurring)] = lambda compute=compute: compute().backward()
    seconds = measure_in_turn(steps, args.rounds, 1)['cpu']
    return {int(n): statistics.median(t) for n, t in seconds.items()}


def main(argv=None) -> dict:
    """Run the benchmark."""
    from benchmarks.report import versions, write_result
    from mmkd.utils.table import format_table
    args = parse_args(argv)
    torch.set_num_threads(1)
    methods = {method: benchmark(method, args) for method in CASES}
    rows = []
    for method, found in methods.items():
        for other in ('formula', 'mmrazor'):
            if other in found:
                ratio = found[other]['ratio']
                rows.append([
                    method, other, f'{found["cpu_seconds"]["mmkd"]:.3f}',
                    f'{ratio["paired"]:.2f} +- {ratio["paired_error"]:.2f}',
                    *(f'{found["saved_mib"][x]:.1f}' for x in ('mmkd', other)),
                    f'{found[other]["difference_of_losses"]:.0e}'
                ])
    print(
        format_table([
            'method', 'beside', 'CPU s', 'ratio', 'kept, MiB', 'there',
            'losses differ by'
        ], rows))
    result = dict(
        methods=methods,
        bpkd_seconds_by_classes=by_classes(args),
        size=list(args.size),
        strides=list(STRIDES),
        channels=args.channels,
        classes=args.classes,
        boxes=args.boxes,
        rounds=args.rounds,
        threads=torch.get_num_threads(),
        versions=versions(),
        date=time.strftime('%Y-%m-%d'))
    write_result(args.out, result)
    return result


if __name__ == '__main__':
    run(lambda: main() and None)
