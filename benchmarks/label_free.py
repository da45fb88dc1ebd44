#!/usr/bin/env python
"""Does a backbone that was distilled without labels pay, at equal time?

    MMKD_REAL_DATA=FOLDER benchmarks/label_free.py
    benchmarks/label_free.py --table

A student of CamVid is trained from scratch, or its backbone first learns from
MobileNetV2 (ImageNet) on images without labels. Both see the same labels: a
tenth, a quarter, or all of the training images. The time of the label-free
phase is given to the student from scratch: its cost is measured beside that
of a supervised step, in turn, and becomes more iterations of the same
schedule. The learning rate of each is the best of as many candidates, with the
first seed and the first share: in trainings without one sequence of training
images, 0006R0, on that sequence, of as many supervised iterations as those to
report. (The validation images do not serve for that: they are of a sequence
that the training images are of.) The label-free phase itself is not tuned. The
scores are those of the test images; one of their sequences, Seq05VD, has no
image among the training ones.

FOLDER holds camvid/ (tools/datasets/camvid.py), coco_small/images/ with
coco_small/annotations/*train*.json (any images in the format of COCO; labels
are not read), and weights/mobilenetv2_mmseg.pth (the backbone's weights, as
mmseg names them). An interrupted benchmark resumes without repeating finished
trainings.
"""
import argparse
import gc
import json
import os
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from mmkd.errors import ConfigError  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

STUDENT = 'configs/camvid/deeplabv3plus_r18w16-d16_camvid.py'
LABEL_FREE = ('configs/camvid/feature-kd-label-free_mobilenet-v2_'
              'deeplabv3plus-r18w16-d16_camvid.py')
ARMS = ('scratch', 'distilled')
METRICS = ('mIoU', 'Seq05VD/mIoU')
#: The sequence of training images to tune on.
HELD_OUT = '0006R0'


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        '--shares', type=float, nargs='+', default=[.1, .25, 1])
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--rates', type=float, nargs='+', default=[3e-3, 1e-2])
    parser.add_argument(
        '--epochs', type=int, default=8, help='of the label-free phase')
    parser.add_argument(
        '--iters', type=int, default=500, help='of the fine-tuning')
    parser.add_argument(
        '--fast', action='store_true', help='train both arms with --fast')
    parser.add_argument('--work-dir', default='work_dirs/label_free')
    parser.add_argument('--out', default='benchmarks/results')
    parser.add_argument(
        '--table',
        action='store_true',
        help='print the result that is there as Markdown')
    return parser.parse_args(argv)


@dataclass(frozen=True)
class Training:
    """A training of the series.

    Attributes:
        arm (str): ``'scratch'``, ``'distilled'`` (the fine-tuning), or
            ``'label-free'``.
        seed (int): Of weights, order, augmentation and labelled images.
        iters (int): Iterations.
        share (float): Share of the training images with labels.
        rate (float): Learning rate; 0: that of the config.
        tuning (bool): Whether it goes without the held-out sequence.
    """
    arm: str
    seed: int
    iters: int
    share: float = 0.
    rate: float = 0.
    tuning: bool = False

    @property
    def name(self) -> str:
        """Name of its folder."""
        labels = f'_{self.share:g}_lr{self.rate:g}' if self.share else ''
        return (f'{"tune_" if self.tuning else ""}{self.arm}{labels}'
                f'_seed{self.seed}')


@dataclass
class Plan:
    """Which trainings there are, in their order.

    Attributes:
        shares, seeds, rates: As on the command line.
        iters (int): Iterations of the fine-tuning.
        label_free (int): Iterations of the label-free phase.
        label_free_tuning (int): The same without the held-out sequence.
        ratio (float): Cost of a label-free step in supervised ones.
    """
    shares: Sequence[float]
    seeds: Sequence[int]
    rates: Sequence[float]
    iters: int
    label_free: int
    label_free_tuning: int
    ratio: float

    def length(self, arm: str) -> int:
        """Supervised iterations of an arm."""
        extra = round(self.label_free * self.ratio) if arm == 'scratch' else 0
        return self.iters + extra

    def phase(self, seed: int, tuning: bool = False) -> Training:
        """The label-free phase of a seed."""
        iters = self.label_free_tuning if tuning else self.label_free
        return Training('label-free', seed, iters, tuning=tuning)

    def supervised(self, arm: str, share: float, seed: int,
                   rate: float) -> Training:
        """A training with labels."""
        return Training(arm, seed, self.length(arm), share, rate)

    def tuning(self, arm: str) -> List[Training]:
        """The candidates for the rate of an arm; none if there is but one.
        """
        if len(self.rates) == 1:
            return []
        return [
            replace(
                self.supervised(arm, self.shares[0], self.seeds[0], rate),
                tuning=True) for rate in self.rates
        ]

    def trainings(self, rates: Dict[str, float]) -> List[Training]:
        """All trainings.

        Args:
            rates (dict[str, float]): Rate of each arm, where it is known.
        """
        tries = [x for arm in ARMS for x in self.tuning(arm)]
        found = [self.phase(self.seeds[0], tuning=True)] if tries else []
        found += tries
        for seed in self.seeds:
            found.append(self.phase(seed))
            found += [
                self.supervised(arm, share, seed,
                                rates.get(arm, self.rates[0]))
                for share in self.shares for arm in ARMS
            ]
        return found

    def cost(self, training: Training) -> float:
        """Cost in supervised steps."""
        return training.iters * (self.ratio if not training.share else 1)


class Series:
    """Executes the trainings of a plan; what is done is not repeated.

    Args:
        args (Namespace): The command line.
        data (Path): The folder of the real data.
    """

    def __init__(self, args: argparse.Namespace, data: Path) -> None:
        from mmengine.config import Config
        self.folder = Path(args.work_dir).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.epochs, self.fast, self.data = args.epochs, args.fast, data
        self.names = sorted(
            path.stem for path in (data / 'camvid/img_dir/train').iterdir())
        self.held_out = [x for x in self.names if x.startswith(HELD_OUT)]
        batch_size = Config.fromfile(LABEL_FREE).label_free.batch_size
        self.images = {x: self._unlabelled(x) for x in (False, True)}
        self.costs = costs = self._costs()
        steps = [
            args.epochs *
            (len(Path(images).read_text().splitlines()) // batch_size)
            for images in self.images.values()
        ]
        self.plan = Plan(args.shares, args.seeds, args.rates, args.iters,
                         *steps, costs['ratio'])
        self.rates: Dict[str, float] = {}
        self.began, self.worked = time.time(), 0.

    def _names(self, tuning: bool) -> List[str]:
        """The training images of CamVid."""
        return [x for x in self.names if not (tuning and x in self.held_out)]

    def _unlabelled(self, tuning: bool) -> str:
        """A list of the images without labels."""
        coco = self.data / 'coco_small'
        listing, = (coco / 'annotations').glob('*train*.json')
        names = [
            x['file_name'] for x in json.loads(listing.read_text())['images']
        ]
        paths = [
            *(path for path in sorted((self.data /
                                       'camvid/img_dir/train').iterdir())
              if path.stem in self._names(tuning)),
            *(coco / 'images' / name for name in sorted(names))
        ]
        file = self.folder / f'{"tune_" if tuning else ""}unlabelled.txt'
        file.write_text(''.join(f'{path}\n' for path in paths))
        return str(file)

    def _config(self, training: Training) -> Any:
        """The config of a training."""
        from mmengine.config import Config
        camvid = str(self.data / 'camvid')
        if training.arm == 'label-free':
            cfg = Config.fromfile(LABEL_FREE)
            cfg.merge_from_dict({
                'label_free.data':
                self.images[training.tuning],
                'label_free.epochs':
                self.epochs,
                'label_free.held_out':
                0.,
                'label_free.num_workers':
                0,
                'model.teachers.teacher.ckpt':
                str(self.data / 'weights/mobilenetv2_mmseg.pth')
            })
        else:
            cfg = Config.fromfile(STUDENT)
            warm_up = min(30, max(1, training.iters // 10))
            cfg.merge_from_dict({
                'train_cfg.max_iters':
                training.iters,
                'train_cfg.val_interval':
                training.iters,
                'param_scheduler.0.end':
                warm_up,
                'param_scheduler.1.begin':
                warm_up,
                'param_scheduler.1.end':
                training.iters,
                'train_dataloader.dataset.ann_file':
                self._labelled(training),
                'default_hooks.checkpoint.interval':
                training.iters,
            })
            if training.rate:
                cfg.optim_wrapper.optimizer.lr = training.rate
            cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        for part in ('train', 'val', 'test'):
            loader = cfg.get(f'{part}_dataloader')
            if loader:
                loader.dataset.data_root = camvid
                loader.update(num_workers=0, persistent_workers=False)
        if training.arm == 'distilled':
            phase = self.plan.phase(training.seed, training.tuning)
            cfg.model.backbone.init_cfg = dict(
                type='Pretrained',
                prefix='backbone.',
                checkpoint=str(self.folder / phase.name /
                               'export/student.pth'))
        cfg.randomness = dict(seed=training.seed)
        cfg.work_dir = str(self.folder / training.name)
        cfg.log_level = 'ERROR'
        return cfg

    def _prepared(self, training: Training) -> Any:
        """The same, ready to train in the mode of the series."""
        from mmkd import apis
        cfg = apis.prepare_training(self._config(training))
        if self.fast:
            apis.use_fast_student(cfg)
        return cfg

    def _labelled(self, training: Training) -> str:
        """A list of the labelled images; smaller shares are parts of larger
        ones."""
        file = self.folder / (f'{"tune_" if training.tuning else ""}labelled_'
                              f'{training.share:g}_{training.seed}.txt')
        names = labelled_part(
            self._names(training.tuning), training.share, training.seed)
        file.write_text(''.join(f'{name}\n' for name in names))
        return str(file)

    def _costs(self) -> Dict[str, Any]:
        """Costs of both steps with their data, in turn, in one process."""
        file = self.folder / f'costs{"_fast" if self.fast else ""}.json'
        if file.is_file():
            return json.loads(file.read_text())
        from benchmarks.timing import measure_in_turn, ratio_of
        phase = self._prepared(Training('label-free', 0, 1))
        ways = {
            'label-free': _stepper(phase),
            'supervised':
            _stepper(self._prepared(Training('scratch', 0, 1, 1.)))
        }
        print('measuring the cost of a step', flush=True)
        # Of process time: other load on the machine does not count.
        times = measure_in_turn(ways, 20)['cpu']
        costs = dict(
            seconds={
                name: statistics.median(found)
                for name, found in times.items()
            },
            ratio=ratio_of(times['label-free'], times['supervised'])['paired'])
        file.write_text(json.dumps(costs))
        return costs

    def train(self, training: Training) -> Path:
        """Train, unless that is done; returns its folder.

        Raises:
            ConfigError: If the folder holds a training with other settings.
        """
        from mmkd import apis
        folder = self.folder / training.name
        done = folder / 'done.json'
        settings = dict(asdict(training), epochs=self.epochs, fast=self.fast)
        if done.is_file():
            found = json.loads(done.read_text())
            # The settings of older trainings do not say that they were not
            # fast.
            if {'fast': False, **found['settings']} != settings:
                raise ConfigError(f'{folder} holds a training with other '
                                  'settings; choose another --work-dir')
            return folder
        cfg = self._prepared(training)
        report.record_code(str(folder), False)
        began, began_cpu = time.time(), time.process_time()
        apis.train(cfg)
        gc.collect()
        seconds = time.process_time() - began_cpu
        if training.arm == 'label-free':
            apis.export_student(
                str(folder / Path(LABEL_FREE).name),
                str(folder / f'epoch_{self.epochs}.pth'),
                str(folder / 'export'))
        done.write_text(
            json.dumps(dict(settings=settings, processor_seconds=seconds)))
        self._report(training, time.time() - began)
        return folder

    def _report(self, training: Training, seconds: float) -> None:
        """Print where the series stands."""
        plan = self.plan
        everything = plan.trainings(self.rates)
        left = [x for x in everything if not self._is_done(x)]
        self.worked += plan.cost(training)
        minutes = sum(map(
            plan.cost, left)) * (time.time() - self.began) / self.worked / 60
        print(
            f'[{len(everything) - len(left)}/{len(everything)}] '
            f'{training.name}: {training.iters} iterations, '
            f'{seconds / 60:.1f} min; about {minutes:.0f} min left',
            flush=True)

    def _is_done(self, training: Training) -> bool:
        return (self.folder / training.name / 'done.json').is_file()

    def score(self, training: Training) -> Dict[str, float]:
        """Scores of a training on the test images, or, to tune, on the
        held-out sequence."""
        if training.arm == 'distilled':
            self.train(self.plan.phase(training.seed, training.tuning))
        folder = self.train(training)
        file = folder / f'{"tune" if training.tuning else "test"}.json'
        if file.is_file():
            return json.loads(file.read_text())
        from mmengine.config import Config

        from mmkd import apis
        cfg = self._config(training)
        if training.tuning:
            listing = self.folder / 'tune_held_out.txt'
            listing.write_text(''.join(f'{x}\n' for x in self.held_out))
            whole = Config.fromfile(STUDENT).train_dataloader.dataset
            cfg.test_dataloader.dataset.update(
                data_prefix=whole.data_prefix, ann_file=str(listing))
        else:
            cfg.test_evaluator = [
                *cfg.test_evaluator,
                dict(
                    type=_sequence_metric(),
                    sequence='Seq05VD',
                    prefix='Seq05VD')
            ]
        found = apis.test(cfg, str(folder / f'iter_{training.iters}.pth'))
        gc.collect()
        file.write_text(json.dumps(found))
        print(f'  {training.name}: mIoU {found["mIoU"]:.2f}')
        return found

    def tune(self, arm: str) -> Dict[str, Any]:
        """Choose the rate of an arm on the held-out sequence."""
        scores = [self.score(x)['mIoU'] for x in self.plan.tuning(arm)]
        best = scores.index(max(scores)) if scores else 0
        self.rates[arm] = self.plan.rates[best]
        return dict(
            rates=list(self.plan.rates),
            held_out=scores,
            chosen=self.rates[arm])

    def row(self, share: float) -> Dict[str, Any]:
        """Scores and costs of a share of the labels, by seed."""
        found: Dict[str, Any] = dict(
            share=share, images=len(labelled_part(self.names, share, 0)))
        for arm in ARMS:
            found[arm] = {name: [] for name in METRICS}
            found[arm]['processor_minutes'] = []
        for seed in self.plan.seeds:
            for arm in ARMS:
                training = self.plan.supervised(arm, share, seed,
                                                self.rates[arm])
                scores = self.score(training)
                for name in METRICS:
                    found[arm][name].append(scores[name])
                found[arm]['processor_minutes'].append(self._minutes(training))
        found['gain'] = {
            name: paired(found['distilled'][name], found['scratch'][name])
            for name in METRICS
        }
        return found

    def code(self) -> List[str]:
        """The versions of the code that trained."""
        trainings = self.plan.trainings(self.rates)
        return sorted({
            version
            for training in trainings
            for version in report.recorded_code(
                str(self.folder / training.name))
        })

    def _minutes(self, training: Training) -> float:
        """Processor time, the label-free phase included."""
        parts = [training]
        if training.arm == 'distilled':
            parts.append(self.plan.phase(training.seed))
        return sum(
            json.loads((self.folder / x.name /
                        'done.json').read_text())['processor_seconds']
            for x in parts) / 60


def labelled_part(names: Sequence[str], share: float, seed: int) -> List[str]:
    """Names of the images with labels; of a seed, the same for both arms."""
    order = list(names)
    random.Random(seed).shuffle(order)
    return sorted(order[:max(1, round(share * len(order)))])


def paired(values: Sequence[float],
           reference: Sequence[float]) -> Dict[str, Optional[float]]:
    """Mean difference by seed, with its standard error."""
    gaps = [a - b for a, b in zip(values, reference)]
    return dict(
        mean=statistics.mean(gaps),
        standard_error=statistics.stdev(gaps) /
        len(gaps)**.5 if len(gaps) > 1 else None)


def _stepper(cfg: Any) -> Callable[[], Any]:
    """What a step with its data does, as a function."""
    from mmkd import apis
    cfg.work_dir += '_cost'
    runner = apis.build_runner(cfg)
    loader = runner.build_dataloader(cfg.train_dataloader, seed=0)
    batches = chain.from_iterable(repeat(loader))
    wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    runner.model.init_weights()
    runner.model.train()
    return lambda: runner.model.train_step(next(batches), wrapper)


def _sequence_metric() -> type:
    """An IoU of the images of one sequence."""
    from mmseg.evaluation import IoUMetric

    class SequenceIoU(IoUMetric):
        """IoU of the images whose names begin with that of a sequence."""

        def __init__(self, sequence: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.sequence = sequence

        def process(self, data_batch: dict, data_samples: list) -> None:
            super().process(data_batch, [
                x for x in data_samples
                if Path(x['img_path']).name.startswith(self.sequence)
            ])

    return SequenceIoU


def _command(args: argparse.Namespace) -> str:
    """The command of a series, without its folders."""
    words = ['benchmarks/label_free.py']
    for name in ('shares', 'seeds', 'rates', 'epochs', 'iters'):
        value = getattr(args, name)
        values = value if isinstance(value, list) else [value]
        words += [f'--{name}', *(f'{x:g}' for x in values)]
    return ' '.join([*words, *(['--fast'] if args.fast else [])])


def as_markdown(result: Dict[str, Any]) -> str:
    """The table of the docs."""
    lines = [
        '| labels | metric | from scratch | distilled without labels | '
        'gain ± standard error | processor minutes |',
        '|---|---|---|---|---|---|'
    ]
    for row in result['rows']:
        minutes = ' / '.join(
            f'{statistics.mean(row[arm]["processor_minutes"]):.1f}'
            for arm in ARMS)
        for name in METRICS:
            gain = row['gain'][name]
            error = gain['standard_error']
            scores = ' | '.join(', '.join(f'{x:.1f}' for x in row[arm][name])
                                for arm in ARMS)
            lines.append(
                f'| {row["images"]} images | {name.replace("/", ", ")} | '
                f'{scores} | {gain["mean"]:+.2f}' +
                (f' ± {error:.2f}' if error is not None else '') +
                f' | {minutes} |')
    return '\n'.join(lines)


def main(argv=None) -> None:
    """Run the benchmark."""
    args = parse_args(argv)
    name = f'label_free{"_fast" if args.fast else ""}.json'
    out = Path(args.out).absolute() / name
    if args.table:
        print(as_markdown(json.loads(out.read_text())))
        return
    data = os.environ.get('MMKD_REAL_DATA')
    if not data or not Path(data, 'camvid').is_dir():
        raise ConfigError('set MMKD_REAL_DATA to the folder that holds '
                          'camvid/, coco_small/ and weights/ (see --help)')
    found = report.versions()  # of the code that trains
    series = Series(args, Path(data).absolute())
    os.chdir(ROOT)
    tuned = {arm: series.tune(arm) for arm in ARMS}
    rows: List[Dict[str, Any]] = []
    for share in args.shares:
        rows.append(series.row(share))
        result = dict(
            command=_command(args),
            student=STUDENT,
            label_free=LABEL_FREE,
            seeds=args.seeds,
            unlabelled_images=len(
                Path(series.images[False]).read_text().splitlines()),
            epochs=args.epochs,
            fast=args.fast,
            iters=dict(
                label_free=series.plan.label_free,
                **{arm: series.plan.length(arm)
                   for arm in ARMS}),
            costs=series.costs,
            tuned=tuned,
            rows=rows,
            code=series.code(),
            data=dict(camvid=report.checksum(series.data / 'camvid')),
            versions=found,
            date=time.strftime('%Y-%m-%d'))
        report.write_result(str(out), result)
    print(as_markdown(result))


if __name__ == '__main__':
    run(main)
