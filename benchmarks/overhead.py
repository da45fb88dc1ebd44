#!/usr/bin/env python
"""The cost of the framework: one training step in three ways.

    benchmarks/overhead.py --method bpkd cwd logits_kd

- plain: the student alone, trained by its library;
- direct: hand-written distillation without mmkd: student, teacher and the
  loss function in a dozen lines;
- mmkd: the step of :class:`mmkd.core.DistillationModel`.

All train the same student from the same weights on the same synthetic batch,
in turn, in one process and one thread, so that other load on the machine
affects them equally. The reported ratio is the median over the rounds of
mmkd's step time divided by the direct one of the same round. The losses are
compared as well, to ensure that all ways compute the same.
"""
import argparse
import gc
import io
import os
import statistics
import sys
import time
import weakref
from copy import deepcopy
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Tuple

# One thread, before torch is imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MKL_NUM_THREADS', '1')

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from benchmarks.timing import measure_in_turn, ratio_of  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

STUDENT = ROOT / 'configs/demo/deeplabv3plus_r18w8-d16_scenes.py'
TEACHER = ROOT / 'configs/demo/deeplabv3plus_r18w32-d16_scenes.py'
#: Method -> its distiller, with the defaults that `direct_loss` repeats.
METHODS = dict(
    bpkd=dict(type='BPKD'),
    cwd=dict(type='CWD'),
    logits_kd=dict(type='LogitsKD'))
#: A distiller with connectors, for the size of the checkpoint.
WITH_CONNECTORS = dict(
    type='CWD', place='stages', student='backbone', teacher='backbone')
WAYS = ('plain', 'direct', 'mmkd')


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        '--method', nargs='+', default=['bpkd'], choices=list(METHODS))
    parser.add_argument(
        '--steps', type=int, default=60, help='rounds that are measured')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(128, 256),
        metavar=('HEIGHT', 'WIDTH'),
        help='of the images, in pixels')
    parser.add_argument('--batch-size', type=int, default=4)
    parser.add_argument(
        '--out', default=str(ROOT / 'benchmarks/results/overhead.json'))
    return parser.parse_args(argv)


# ------------------------------------------------------- the three ways


def direct_loss(method: str, logits_s: Tensor, logits_t: Tensor,
                labels: Tensor) -> Dict[str, Tensor]:
    """The distillation losses of a method with its default weights."""
    from mmkd.methods.bpkd.losses import body_loss, edge_loss, edge_masks
    from mmkd.ops.channel_wise import channel_wise_divergence
    from mmkd.ops.divergences import kl_divergence
    if method == 'cwd':
        return dict(loss=3 * channel_wise_divergence(logits_s, logits_t, 4.0))
    if method == 'logits_kd':
        return dict(loss=kl_divergence(logits_s, logits_t))
    masks, valid = edge_masks(labels, logits_s.size(1), logits_s.shape[2:])
    return dict(
        loss_edge=50 * edge_loss(logits_s, logits_t, masks, valid),
        loss_body=20 * body_loss(logits_s, logits_t, masks, valid))


class Way:
    """A way of training: its network, its optimiser and its step.

    Args:
        name (str): One of :data:`WAYS`.
        network (nn.Module): What the optimiser trains.
        optimizer (torch.optim.Optimizer): Holds its parameters.
        step (Callable): Makes one step and returns the losses by name.
    """

    def __init__(self, name: str, network: nn.Module,
                 optimizer: torch.optim.Optimizer,
                 step: Callable[[], Dict[str, Tensor]]) -> None:
        self.name = name
        self.network = network
        self.optimizer = optimizer
        self.step = step

    def state(self) -> Iterable[Tensor]:
        """Tensors that live as long as the training."""
        yield from self.network.buffers()
        for parameter in self.network.parameters():
            yield parameter
            if parameter.grad is not None:
                yield parameter.grad
        for values in self.optimizer.state.values():
            yield from (v for v in values.values() if isinstance(v, Tensor))


def make_ways(method: str, data: dict) -> List[Way]:
    """Build the three ways on copies of one student."""
    from mmengine.optim import OptimWrapper

    from mmkd.core.model import DistillationModel
    from mmkd.core.network import build_network
    from mmkd.core.teacher import Teacher

    torch.manual_seed(0)
    student = build_network(str(STUDENT), 'the student')
    student.init_weights()
    teacher = Teacher(str(TEACHER), ckpt='random')

    def adamw(network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            network.parameters(), lr=1e-4, weight_decay=0.01)

    plain = deepcopy(student).train()
    plain_wrapper = OptimWrapper(adamw(plain))

    hand = deepcopy(student).train()
    hand_optimizer = adamw(hand)

    def direct_step() -> Dict[str, Tensor]:
        batch = hand.data_preprocessor(data, True)
        inputs, samples = batch['inputs'], batch['data_samples']
        logits_s = hand.decode_head(hand.extract_feat(inputs))
        losses = hand.decode_head.loss_by_feat(logits_s, samples)
        with torch.no_grad():
            network = teacher.network
            logits_t = network.decode_head(network.extract_feat(inputs))
        labels = torch.cat([s.gt_sem_seg.data for s in samples])
        terms = direct_loss(method, logits_s, logits_t, labels)
        loss = losses['loss_ce'] + sum(terms.values())
        loss.backward()
        hand_optimizer.step()
        hand_optimizer.zero_grad()
        return {**losses, **terms, 'loss': loss}

    model = DistillationModel(
        student=deepcopy(student),
        teachers=dict(teacher=teacher),
        distillers={
            method: dict(METHODS[method])
        }).train()
    wrapper = OptimWrapper(adamw(model))
    return [
        Way('plain', plain, plain_wrapper.optimizer,
            lambda: plain.train_step(data, plain_wrapper)),
        Way('direct', hand, hand_optimizer, direct_step),
        Way('mmkd', model, wrapper.optimizer,
            lambda: model.train_step(data, wrapper)),
    ]


# ---------------------------------------------------------- measurements


def measure_time(ways: List[Way], steps: int, warmup: int = 3) -> dict:
    """Time of a step: rounds of all ways, in an order that rotates."""
    total: Dict[str, List[float]] = {way.name: [] for way in ways}

    def stepping(way: Way) -> Callable[[], None]:
        return lambda: total[way.name].append(float(way.step()['loss']))

    times = measure_in_turn({way.name: stepping(way)
                             for way in ways}, steps, warmup)
    wall, cpu = times['wall'], times['cpu']
    return dict(
        seconds={
            name: dict(min=min(t), median=statistics.median(t))
            for name, t in wall.items()
        },
        cpu_seconds={
            name: dict(min=min(t), median=statistics.median(t))
            for name, t in cpu.items()
        },
        mmkd_over_direct=ratio_of(wall['mmkd'], wall['direct']),
        mmkd_over_direct_cpu=ratio_of(cpu['mmkd'], cpu['direct']),
        largest_difference_of_losses=max(
            abs(a - b) / abs(b)
            for a, b in zip(total['mmkd'], total['direct'])))


def _storages(tensors: Iterable[Tensor]) -> Dict[int, int]:
    """Address -> bytes of the distinct storages of tensors."""
    return {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
        for t in tensors
    }


class _Saved:
    """A stand-in for a tensor that autograd saves for the backward pass."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def measure_memory(way: Way) -> dict:
    """Bytes saved for the backward pass, and tensors that outlive a step."""
    torch.manual_seed(0)
    way.step()
    state = set(_storages(way.state()))
    saved: List[weakref.ref] = []
    for_backward: List[int] = []

    def pack(tensor: Tensor) -> _Saved:
        box = _Saved(tensor)
        saved.append(weakref.ref(box))
        return box

    def unpack(box: _Saved) -> Tensor:
        # The first one starts the backward pass: the tensors alive now were
        # saved for it. Parts of the graph may already be freed, such as # that
        # of a reported accuracy.
        if not for_backward:
            kept = [ref() for ref in saved]
            storages = _storages(k.tensor for k in kept if k is not None)
            for_backward.append(
                sum(size for at, size in storages.items() if at not in state))
        return box.tensor

    gc.collect()
    gc.freeze()  # list only new tensors
    gc.disable()  # tensors that only the collector would free count as left
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            way.step()
        own = {id(tensor) for tensor in way.state()}
        # By type: `isinstance` would ask lazy modules for their class.
        left = [
            t for t in gc.get_objects()
            if issubclass(type(t), Tensor) and id(t) not in own
        ]
        in_graph = sum(box() is not None for box in saved)
    finally:
        gc.enable()
        gc.unfreeze()
    return dict(
        saved_for_backward_bytes=for_backward[0],
        tensors_left=len(left),
        tensors_left_bytes=sum(_storages(left).values()),
        saved_tensors_left=in_graph)


def _file_size(state_dict: dict) -> int:
    file = io.BytesIO()
    torch.save(dict(state_dict=state_dict), file)
    return file.tell()


def measure_checkpoints(method: str) -> dict:
    """Bytes of checkpoints: the student's, and mmkd's beside what is in it.
    """
    from mmkd.core.model import DistillationModel
    from mmkd.core.network import build_network
    from mmkd.core.teacher import Teacher
    student = build_network(str(STUDENT), 'the student')
    teacher = Teacher(str(TEACHER), ckpt='random')
    plain = _file_size(student.state_dict())
    found = dict(
        student=plain, teacher=_file_size(teacher.network.state_dict()))
    for name, distiller in {
            method: METHODS[method],
            'with_connectors': WITH_CONNECTORS
    }.items():
        model = DistillationModel(student, dict(teacher=teacher),
                                  dict(own=dict(distiller)))
        connectors = sum(t.numel() * t.element_size()
                         for t in model.distillers.state_dict().values())
        size = _file_size(model.state_dict())
        found[name] = dict(
            mmkd=size,
            connectors=connectors,
            over_student_and_connectors=size / (plain + connectors))
    return found


def benchmark(method: str, data: dict, steps: int) -> dict:
    """All measurements of one method."""
    ways = make_ways(method, data)
    memory = {way.name: measure_memory(way) for way in ways}
    return dict(
        **measure_time(ways, steps),
        memory=memory,
        checkpoint=measure_checkpoints(method))


def report(method: str, found: dict) -> str:
    """The measurements of a method as a table and a few lines."""
    from mmkd.utils.table import format_table
    rows = []
    for name in WAYS:
        memory = found['memory'][name]
        rows.append([
            name, f'{1e3 * found["seconds"][name]["min"]:.1f}',
            f'{1e3 * found["seconds"][name]["median"]:.1f}',
            f'{1e3 * found["cpu_seconds"][name]["min"]:.1f}',
            f'{1e3 * found["cpu_seconds"][name]["median"]:.1f}',
            f'{memory["saved_for_backward_bytes"] / 2**20:.2f}',
            f'{memory["tensors_left"]} ({memory["tensors_left_bytes"]} B)'
        ])
    table = format_table([
        method, 'min (ms)', 'median', 'CPU min', 'CPU median',
        'for backward (MiB)', 'left after the step'
    ], rows)
    wall, cpu = found['mmkd_over_direct'], found['mmkd_over_direct_cpu']
    files = found['checkpoint']

    def size(name: str) -> str:
        part = files[name]
        return (f'{part["mmkd"]} bytes, '
                f'{part["over_student_and_connectors"]:.4f} of student and '
                f'connectors ({files["student"]} + {part["connectors"]})')

    return '\n'.join([
        table, f'mmkd / direct: {wall["paired"]:.4f} +- '
        f'{wall["paired_error"]:.4f} (median of the paired ratios), '
        f'{wall["median"]:.4f} (of the medians), {wall["min"]:.4f} (of the '
        f'fastest); CPU time {cpu["paired"]:.4f} +- '
        f'{cpu["paired_error"]:.4f}',
        'losses of mmkd and direct differ by at most '
        f'{found["largest_difference_of_losses"]:.1e} of their value',
        f'checkpoint: {size(method)}',
        f'checkpoint with connectors: {size("with_connectors")}'
    ])


def main(argv=None) -> dict:
    """Run the benchmark."""
    from mmengine.logging import MMLogger

    from benchmarks.report import versions, write_result
    from mmkd.testing import segmentation_batch
    args = parse_args(argv)
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel('WARNING')
    size: Tuple[int, int] = tuple(args.size)
    data = segmentation_batch(args.batch_size, size)
    methods = {}
    for method in args.method:
        print(f'{method}:', flush=True)
        methods[method] = benchmark(method, data, args.steps)
        print(report(method, methods[method]), flush=True)
    result = dict(
        methods=methods,
        student=STUDENT.stem,
        teacher=TEACHER.stem,
        size=list(size),
        batch_size=args.batch_size,
        steps=args.steps,
        threads=torch.get_num_threads(),
        command=' '.join([
            'benchmarks/overhead.py', '--method', *args.method, '--steps',
            str(args.steps), '--size', *map(str, size), '--batch-size',
            str(args.batch_size)
        ]),
        versions=versions(),
        date=time.strftime('%Y-%m-%d'))
    write_result(args.out, result)
    return result


if __name__ == '__main__':
    run(lambda: main() and None)
