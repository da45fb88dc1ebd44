#!/usr/bin/env python
"""A distilled training step beside the student's own.

    benchmarks/step_time.py --pair retinanet --rounds 30

All ways train copies of one student on the same synthetic batch, in turn, in
one process and thread:

- alone: the student, as its library trains it;
- alone fast: likewise with `--fast`;
- direct: CWD written by hand, without mmkd;
- as it is: mmkd with the options off that make a teacher cheaper;
- default: mmkd;
- weight 0: mmkd with a loss weight of 0;
- fast: mmkd with `--fast`;
- cached, cached fast: likewise with a cache that holds the batch already;
- mmrazor: the same loss in mmrazor (`--mmrazor FOLDER`, into which
  `pip install --no-deps --target FOLDER mmrazor==1.0.0` has put it).

The method is channel-wise distillation: of the neck, or of the logits for
segmentation. A ratio of two ways is the median over the rounds of the ratio in
the same round, of CPU time, or on a GPU of the time between two events. The
losses of the first two steps are recorded as well.
"""
import argparse
import functools
import importlib
import os
import statistics
import sys
import tempfile
import time
import types
from copy import deepcopy
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

# One thread, before torch is imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MKL_NUM_THREADS', '1')

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from benchmarks.timing import measure_in_turn, ratio_of  # noqa: E402
from mmkd.testing.examples import PLAIN  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

RECIPE_4X = ('configs/pointdistiller/'
             'pointdistiller_pointpillars_pointpillars-4x_160e_kitti.py')
TAU = 4.0


class Pair(NamedTuple):
    """Two networks, what CWD compares, and their data.

    Attributes:
        student (str): Config of the student.
        teacher (str): Config of the teacher.
        place (str): Place of CWD.
        tap (str): The module of both networks that gives its maps.
        data (str): Function of ``mmkd.testing`` for a batch.
    """
    student: str
    teacher: str
    place: str
    tap: str
    data: str


PAIRS = dict(
    retinanet=Pair('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py',
                   'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', 'neck',
                   'neck', 'detection_batch'),
    gfl=Pair('mmdet::gfl/gfl_r50_fpn_1x_coco.py',
             'mmdet::gfl/gfl_r101_fpn_ms-2x_coco.py', 'neck', 'neck',
             'detection_batch'),
    deeplabv3plus=Pair(
        'mmseg::deeplabv3plus/'
        'deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py',
        'mmseg::deeplabv3plus/'
        'deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024.py', 'logits',
        'decode_head.conv_seg', 'segmentation_batch'),
    segformer=Pair(
        'mmseg::segformer/'
        'segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py',
        'mmseg::segformer/'
        'segformer_mit-b2_8xb1-160k_cityscapes-1024x1024.py', 'logits',
        'decode_head.conv_seg', 'segmentation_batch'),
    pointpillars=Pair(
        RECIPE_4X, 'mmdet3d::pointpillars/'
        'pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class.py', 'neck', 'neck',
        'lidar_batch'))


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        '--pair', nargs='+', default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument('--rounds', type=int, default=30)
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='of the images, in pixels')
    parser.add_argument('--batch-size', type=int)
    parser.add_argument('--mmrazor', metavar='FOLDER')
    parser.add_argument(
        '--gpu',
        action='store_true',
        help='on a GPU, with images and batches of usual sizes')
    parser.add_argument(
        '--out',
        help='default: benchmarks/results/'
        'step_time.json, or with --gpu step_time_gpu.json')
    args = parser.parse_args(argv)
    if args.gpu and not torch.cuda.is_available():
        parser.error(f'there is no GPU: torch {torch.__version__} finds none')
    if args.size is None:
        args.size = (512, 1024) if args.gpu else (256, 256)
    if args.batch_size is None:
        args.batch_size = 8 if args.gpu else 2
    if args.out is None:
        name = 'step_time_gpu' if args.gpu else 'step_time'
        args.out = str(ROOT / f'benchmarks/results/{name}.json')
    return args


# ------------------------------------------------------------------ the ways


class Way:
    """A network and its training step.

    Args:
        network (nn.Module): A model of mmengine.
        fast (bool): Whether to train it with ``--fast``. Defaults to False.
    """

    def __init__(self, network: nn.Module, fast: bool = False) -> None:
        from mmengine.config import Config
        from mmengine.optim import build_optim_wrapper

        from mmkd.engine.configs import use_amp
        from mmkd.utils.devices import training_device
        self.network = network.to(training_device())
        network.train()  # may return nothing
        cfg = Config(
            dict(
                optim_wrapper=dict(
                    optimizer=dict(type='SGD', lr=1e-4, momentum=0.9))))
        if fast:
            use_amp(cfg)
        self.wrapper = build_optim_wrapper(network, cfg.optim_wrapper)
        self.losses: List[float] = []
        self.peak = 0

    def step(self, data: dict, keep: bool = False) -> None:
        """Make a training step; ``keep`` records its loss, which waits for
        the device."""
        losses = self.network.train_step(deepcopy(data), self.wrapper)
        if keep:
            self.losses.append(float(losses['loss']))


class Direct(nn.Module):
    """Channel-wise distillation written by hand, as in a first attempt.

    Args:
        student (BaseModel): The student.
        teacher (BaseModel): The teacher.
        tap (str): The module of both that gives the maps.
        weight (float): Weight of the loss.
    """

    def __init__(self, student: Any, teacher: Any, tap: str,
                 weight: float) -> None:
        super().__init__()
        self.student, self.weight = student, weight
        self.teacher = teacher.requires_grad_(False)
        self.maps: Dict[str, Any] = {}
        self.connectors = nn.ModuleList()
        for name in ('student', 'teacher'):
            getattr(self, name).get_submodule(tap).register_forward_hook(
                functools.partial(self._keep, name))

    def _keep(self, name: str, module: nn.Module, args: tuple,
              output: Any) -> None:
        self.maps[name] = [output] if isinstance(output, Tensor) else output

    def train(self, mode: bool = True) -> 'Direct':
        """As of a module, but the teacher stays in eval mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def connect(self, data: dict) -> 'Direct':
        """Add a 1x1 convolution for each level of another width."""
        self.eval()._run(data)  # no statistics are updated
        for ours, theirs in zip(*self.maps.values()):
            widths = ours.size(1), theirs.size(1)
            self.connectors.append(
                nn.Conv2d(*widths, 1) if widths[0] !=
                widths[1] else nn.Identity())
        return self

    def _run(self, data: dict) -> Dict[str, Tensor]:
        batch = self.student.data_preprocessor(data, True)
        losses = self.student(**batch, mode='loss')
        with torch.no_grad():
            batch = self.teacher.data_preprocessor(data, True)
            self.teacher(**batch, mode='loss')
        return losses

    def train_step(self, data: dict, wrapper: Any) -> Dict[str, Tensor]:
        """A step as in mmengine."""
        losses = self._run(data)
        losses['loss_kd'] = self.weight * sum(
            _cwd(connector(ours), theirs) for connector, ours, theirs in zip(
                self.connectors, self.maps['student'], self.maps['teacher']))
        total, log = self.student.parse_losses(losses)
        wrapper.update_params(total)
        return log


def _cwd(ours: Tensor, theirs: Tensor) -> Tensor:
    log_p = (theirs / TAU).flatten(2).log_softmax(2)
    log_q = (ours / TAU).flatten(2).log_softmax(2)
    divergence = log_p.exp() * (log_p - log_q)
    return TAU**2 * divergence.sum() / (ours.size(0) * ours.size(1))


def make_ways(pair: Pair,
              data: dict,
              folder: str,
              size: Tuple[int, int] = (256, 256),
              mmrazor: Optional[str] = None) -> Dict[str, Way]:
    """All ways on copies of one student and one teacher.

    Args:
        pair (Pair): The pair.
        data (dict): A batch of the data loader.
        folder (str): Folder for the caches.
        size (tuple[int, int]): Height and width of the images in pixels.
        mmrazor (str, optional): Folder of mmrazor. Defaults to None.
    """
    from mmkd.core.layout import set_layout
    from mmkd.core.model import DistillationModel
    from mmkd.core.network import build_network
    from mmkd.errors import ConfigError
    from mmkd.methods.cwd.distiller import LOSS_WEIGHTS
    from mmkd.utils.devices import training_device

    torch.manual_seed(0)
    student = build_network(_network(pair.student, size), 'the student')
    student._is_init = True
    weight = LOSS_WEIGHTS[pair.place]

    def distilled(fast: bool = False,
                  weight: float = weight,
                  **options: Any) -> nn.Module:
        torch.manual_seed(1)  # the weights of the teacher, and connectors
        return DistillationModel(
            deepcopy(student),
            dict(
                teacher=dict(
                    cfg=_network(pair.teacher, size), ckpt='random', **
                    options)),
            dict(
                cwd=dict(
                    type='CWD', place=pair.place, tau=TAU,
                    loss_weight=weight)),
            channels_last=fast)

    torch.manual_seed(1)
    as_it_is = distilled(**PLAIN)
    teacher = as_it_is.teachers['teacher'].network
    fast_student = deepcopy(student)
    set_layout(fast_student, torch.channels_last)
    direct = Direct(deepcopy(student), deepcopy(teacher), pair.tap, weight)
    direct.to(training_device()).connect(data)
    ways = {
        'alone': Way(deepcopy(student)),
        'alone fast': Way(fast_student, fast=True),
        'direct': Way(direct),
        'as it is': Way(as_it_is),
        'default': Way(distilled()),
        'weight 0': Way(distilled(weight=0.)),
        'fast': Way(distilled(fast=True), fast=True)
    }
    for name, fast in (('cached', False), ('cached fast', True)):
        try:
            ways[name] = Way(
                distilled(fast, cache=dict(dir=f'{folder}/{name}')), fast)
        except ConfigError as error:
            print(f'  without {name!r}: {error}')
    if mmrazor and not any(
            isinstance(c, nn.Conv2d) for c in direct.connectors):
        ways['mmrazor'] = Way(
            _in_mmrazor(mmrazor, pair, student, teacher, weight,
                        len(direct.connectors)))
    return ways


def _network(config: str, size: Tuple[int, int]) -> dict:
    """A network's config, with batches of this height and width.

    Of a recipe, that of the student.
    """
    from mmengine.config import Config

    from mmkd.core.network import network_config
    if '::' in config:
        model, scope = network_config(config, 'the network')
    else:
        cfg = Config.fromfile(str(ROOT / config))
        model, scope = cfg.model, cfg.default_scope
    model = deepcopy(model.get('student', model))
    if 'size' in model.get('data_preprocessor', {}):
        model['data_preprocessor']['size'] = size  # to pad images to
    return dict(model, _scope_=scope)


def _in_mmrazor(folder: str, pair: Pair, student: nn.Module,
                teacher: nn.Module, weight: float, levels: int) -> nn.Module:
    """The pair in mmrazor's ``SingleTeacherDistill``.

    Only the parts of mmrazor that it needs are imported: the others (search,
    pruning, quantisation) do not run with recent versions of torch.
    """
    sys.path.insert(0, folder)
    parts = ('models', 'models.task_modules', 'models.algorithms',
             'models.algorithms.distill',
             'models.algorithms.distill.configurable', 'models.distillers',
             'models.losses')
    for name in parts:
        module: Any = types.ModuleType(f'mmrazor.{name}')
        module.__path__ = [f'{folder}/mmrazor/{name.replace(".", "/")}']
        sys.modules.setdefault(module.__name__, module)
    tasks: Any = sys.modules['mmrazor.models.task_modules']
    for name in ('delivery', 'recorder'):
        part = importlib.import_module(f'{tasks.__name__}.{name}')
        for key in part.__all__:
            setattr(tasks, key, getattr(part, key))
    load = importlib.import_module
    registry: Any = load('mmrazor.registry')
    for registered in (registry.MODELS, registry.TASK_UTILS):
        registered._imported = True  # else, a name imports all of mmrazor
    distillers: Any = load('mmrazor.models.distillers.configurable_distiller')
    losses: Any = load('mmrazor.models.losses.cwd')
    algorithm: Any = load('mmrazor.models.algorithms.distill.configurable.'
                          'single_teacher_distill')
    record = dict(maps=dict(type='ModuleOutputs', source=pair.tap))
    place: Callable[[int], dict] = lambda i: dict(data_idx=i) \
        if levels > 1 else {}
    model = algorithm.SingleTeacherDistill(
        distiller=dict(
            type=distillers.ConfigurableDistiller,
            student_recorders=deepcopy(record),
            teacher_recorders=deepcopy(record),
            distill_losses={
                f'loss_{i}':
                dict(
                    type=losses.ChannelWiseDivergence,
                    tau=TAU,
                    loss_weight=weight)
                for i in range(levels)
            },
            loss_forward_mappings={
                f'loss_{i}':
                dict(
                    preds_S=dict(
                        from_student=True, recorder='maps', **place(i)),
                    preds_T=dict(
                        from_student=False, recorder='maps', **place(i)))
                for i in range(levels)
            }),
        teacher=deepcopy(teacher),
        architecture=deepcopy(student))
    # It would run its own preprocessor, which does nothing.
    model.data_preprocessor = model.student.data_preprocessor
    return model


# -------------------------------------------------------------- measurements


def benchmark(pair: Pair, data: dict, args: argparse.Namespace) -> dict:
    """Times of a pair's ways, their ratios, and whether they do the same."""
    with tempfile.TemporaryDirectory() as folder:
        ways = make_ways(pair, data, folder, tuple(args.size), args.mmrazor)
        return _measure(pair, ways, data, args.rounds)


def _measure(pair: Pair, ways: Dict[str, Way], data: dict,
             rounds: int) -> dict:
    for name, way in list(ways.items()):
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        try:
            for _ in range(2):  # the second step sees what the first learnt
                torch.manual_seed(0)
                way.step(data, keep=True)
        except RuntimeError as error:
            if name != 'mmrazor':
                raise
            print(f'  without mmrazor, whose loss fails: {error}')
            del ways[name]
        if torch.cuda.is_available():
            way.peak = torch.cuda.max_memory_allocated()
    times = measure_in_turn(
        {
            name: functools.partial(way.step, data)
            for name, way in ways.items()
        }, rounds)
    seconds = times['wall' if torch.cuda.is_available() else 'cpu']

    def over(reference: str) -> dict:
        return {
            name: ratio_of(seconds[name], seconds[reference])
            for name in ways if name != reference
        }

    return dict(
        place=pair.place,
        seconds={
            name: dict(min=min(t), median=statistics.median(t))
            for name, t in seconds.items()
        },
        over={
            name: over(name)
            for name in ('alone', 'alone fast', 'as it is', 'mmrazor')
            if name in ways
        },
        losses={
            name: way.losses
            for name, way in ways.items()
        },
        weight_0_is_alone=ways['weight 0'].losses == ways['alone'].losses,
        peak_bytes={
            name: way.peak
            for name, way in ways.items() if way.peak
        })


def report(name: str, found: dict) -> str:
    """The measurements of a pair as a table."""
    from mmkd.utils.table import format_table
    columns = list(found['over'])
    rows = [[
        way, f'{1e3 * seconds["median"]:.0f}', *[
            f'{found["over"][column][way]["paired"]:.3f}'
            if way in found['over'][column] else '1' for column in columns
        ], f'{found["losses"][way][0]:.6g}'
    ] for way, seconds in found['seconds'].items()]
    return format_table(
        [name, 'ms', *[f'/ {column}' for column in columns], 'loss'], rows)


def main(argv=None) -> dict:
    """Run the benchmark."""
    from mmengine.logging import MMLogger

    from benchmarks.report import versions, write_result
    from mmkd import testing
    from mmkd.core.speed import fast_dtype
    from mmkd.testing import lidar
    from mmkd.utils.devices import training_device
    args = parse_args(argv)
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel('WARNING')
    device = training_device()
    pairs = {}
    for name in args.pair:
        pair = PAIRS[name]
        if pair.data == 'lidar_batch':
            data = lidar.lidar_batch(args.batch_size, num_points=20000)
        else:
            data = getattr(testing, pair.data)(
                args.batch_size, size=tuple(args.size))
        pairs[name] = benchmark(pair, data, args)
        print(report(name, pairs[name]), flush=True)
    result = dict(
        pairs=pairs,
        size=list(args.size),
        batch_size=args.batch_size,
        rounds=args.rounds,
        device=torch.cuda.get_device_name()
        if device.type == 'cuda' else str(device),
        native_bfloat16=fast_dtype(device.type) is not None,
        threads=torch.get_num_threads(),
        load=os.getloadavg()[0],
        versions=versions(),
        date=time.strftime('%Y-%m-%d'))
    write_result(args.out, result)
    return result


if __name__ == '__main__':
    run(lambda: main() and None)
